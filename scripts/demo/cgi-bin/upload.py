#!/usr/bin/python3
# Receives a file from a form, and shows its name, size and SHA-256. The file
# may hold any bytes.
import hashlib
import html
import os
import re
import sys

most = 16 * 1024 * 1024  # bytes of form data


def fail(status, sentence):
    print(f"Status: {status}\nContent-Type: text/plain; charset=utf-8\n\n{sentence}")
    sys.exit()


# The form data (RFC 7578) is parts between delimiters. Each part is header
# lines, an empty line, and the value. A file is the part with a file name.
def receive():
    content_type = os.environb.get(b"CONTENT_TYPE", b"")
    found = re.match(rb'multipart/form-data;.*\bboundary="?([^";]+)', content_type, re.I)
    if not found:
        fail("415 Unsupported Media Type", "Please send multipart/form-data.")

    length = int(os.environ.get("CONTENT_LENGTH") or 0)
    if length > most:
        fail("413 Content Too Large", f"Please send at most {most} bytes.")
    body = sys.stdin.buffer.read(length)
    if len(body) < length:
        fail("400 Bad Request", "The file was cut short.")

    parts = (b"\r\n" + body).split(b"\r\n--" + found.group(1))[1:]
    if len(parts) < 2 or not parts.pop().startswith(b"--"):
        fail("400 Bad Request", "That is not the data of a form.")
    for part in parts:
        header, _, content = part.partition(b"\r\n\r\n")
        file = re.search(rb'^Content-Disposition:.*;\s*filename="([^"]*)"', header, re.I | re.M)
        if file:
            return file.group(1).decode("utf-8", "replace"), content
    fail("400 Bad Request", "There is no file in the form.")


name = ""
if os.environ.get("REQUEST_METHOD") == "POST":
    name, content = receive()

sys.stdout.reconfigure(encoding="utf-8")
print("""\
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Upload</title>
<h1>Upload</h1>
<form action="upload.py" method="post" enctype="multipart/form-data">
<p><label>A file: <input type="file" name="file" required></label></p>
<p><button>Send</button></p>
</form>""")
# A browser must take the file's name as text, never as markup: html.escape.
if name:
    print(f"""\
<dl>
<dt>Name</dt><dd>{html.escape(name)}</dd>
<dt>Size</dt><dd>{len(content)} bytes</dd>
<dt>SHA-256</dt><dd><code>{hashlib.sha256(content).hexdigest()}</code></dd>
</dl>""")
print('<p><a href="/">All examples</a></p>')
