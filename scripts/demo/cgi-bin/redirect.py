#!/usr/bin/python3
# Sends the browser to another page. 303 tells it to fetch that page with GET,
# which is what you want after a form was sent with POST.

print("""\
Status: 303 See Other
Location: /cgi-bin/env.py?from=redirect.py
Content-Type: text/plain; charset=utf-8

Please go on to /cgi-bin/env.py""")
