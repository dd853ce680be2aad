#!/usr/bin/python3
# Reads a text field of a form that was sent with GET or with POST.
import html
import os
import sys
from urllib.parse import parse_qs

most = 16384  # bytes of form data

# With POST the data is on standard input, and CONTENT_LENGTH says how many
# bytes there are (RFC 3875, section 4.2). With GET it is behind the ? of the
# address.
if os.environ.get("REQUEST_METHOD") == "POST":
    how = "POST"
    length = int(os.environ.get("CONTENT_LENGTH") or 0)
    if length > most:
        print("Status: 413 Content Too Large")
        print("Content-Type: text/plain; charset=utf-8\n")
        print(f"Please send at most {most} bytes.")
        sys.exit()
    data = sys.stdin.buffer.read(length)
else:
    how = "GET"
    data = os.environb.get(b"QUERY_STRING", b"")

# parse_qs turns + into a space and %XX into a byte, and takes the bytes for
# UTF-8. A page can hold no NUL, so %00 becomes U+FFFD, the replacement
# character.
fields = parse_qs(data.decode("utf-8", "replace"))
name = fields.get("name", [""])[0].replace("\0", "\ufffd")

# A browser must take what was typed as text, never as markup.
name = html.escape(name)

sys.stdout.reconfigure(encoding="utf-8")
print(f"""\
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Form</title>
<h1>Form</h1>
<form action="form.py">
<p><label>Your name: <input name="name" value="{name}"></label></p>
<p><button>Send with GET</button> <button formmethod="post">Send with POST</button></p>
</form>""")
if name:
    print(f"<p>Hello, <strong>{name}</strong>! Your name came with {how}.</p>")
print('<p><a href="/">All examples</a></p>')
