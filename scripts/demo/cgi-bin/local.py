#!/usr/bin/python3
# Lets another path of this server answer. The browser does not notice: its
# address bar keeps local.py. That takes a Location with a path, and nothing
# else: no Status, no other field, no body (RFC 3875, section 6.2.2).

print("Location: /cgi-bin/env.py?from=local.py\n")
