#!/usr/bin/python3
# Shows what the server told this program: the CGI variables (RFC 3875, section
# 4.1), which are ordinary environment variables. (Python may add LC_CTYPE.)
import html
import os
import sys

# Variables are bytes. What is not UTF-8 in them is shown as U+FFFD.
lines = sorted(name + b"=" + value for name, value in os.environb.items())
variables = b"\n".join(lines).decode("utf-8", "replace")

# A browser must take the values as text, never as markup: html.escape.
sys.stdout.reconfigure(encoding="utf-8")
print(f"""\
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Environment</title>
<h1>Environment</h1>
<pre>
{html.escape(variables)}
</pre>
<p><a href="/">All examples</a></p>""")
