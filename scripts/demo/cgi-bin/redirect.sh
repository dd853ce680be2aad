#!/bin/sh
# Sends the browser to another page. 303 tells it to fetch that page with GET,
# which is what you want after a form was sent with POST.

cat <<'END'
Status: 303 See Other
Location: /cgi-bin/env.sh?from=redirect.sh
Content-Type: text/plain; charset=utf-8

Please go on to /cgi-bin/env.sh
END
