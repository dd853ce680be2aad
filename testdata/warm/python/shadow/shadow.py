#!/usr/bin/python3
# Modules beside the script come before those of the library, whoever has loaded those.
import html
import sys
import textwrap

print("Content-Type: text/plain\n")
print(html.name, html.__file__.endswith("shadow/html.py"), textwrap.name, hasattr(html, "escape"))
import json.decoder
import xml.sax.saxutils

print(json.__file__.endswith("shadow/json/__init__.py"), json.decoder.name)
print(xml.sax.saxutils.escape("<"), sys.path[0].endswith("shadow"))
try:
    import http.server
except ImportError as e:
    print(e)
