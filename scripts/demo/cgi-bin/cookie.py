#!/usr/bin/python3
# Counts your visits. The number is kept by your browser, in a cookie.
import os
import re

# A cookie comes from outside like everything else: only a number will do.
cookies = os.environ.get("HTTP_COOKIE", "")
found = re.search(r"(?:^|; *)visits=([1-9][0-9]{0,8})(?:;|$)", cookies)
visits = (int(found.group(1)) if found else 0) + 1

print(f"""\
Content-Type: text/html; charset=utf-8
Cache-Control: no-store
Set-Cookie: visits={visits}; Path=/cgi-bin/; Max-Age=86400; HttpOnly; SameSite=Lax

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Cookie</title>
<h1>Cookie</h1>
<p>Visits of this browser today: <strong>{visits}</strong></p>
<p><a href="cookie.py">Once more</a> or <a href="/">all examples</a></p>""")
