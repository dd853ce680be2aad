#!/usr/bin/python3 -W ignore
# Answers with the size and the SHA-256 of each uploaded file, as FieldStorage reads it.
import cgi
import hashlib

form = cgi.FieldStorage()
print("Content-Type: text/plain\n")
for item in form.list:
    if item.filename is None:
        print("field", item.name, item.value)
        continue
    digest, size = hashlib.sha256(), 0
    while piece := item.file.read(1 << 20):
        digest.update(piece)
        size += len(piece)
    print("file", item.filename, size, digest.hexdigest())
