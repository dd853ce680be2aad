#!/usr/bin/python3
# trial: at+the+start
# trial: json
# trial: email
# trial: late
# What is in sys.modules is what this run has imported, and what the interpreter starts with.
import sys

first = sorted(sys.modules)
print("Content-Type: text/plain\n")
print("\n".join(first))
import os

what = os.environ["QUERY_STRING"]
if what == "json":
    import json
    print(json.dumps([json.__file__, json.__spec__.name, json.__spec__.origin, json.__cached__, json.__package__, json.__path__]))
elif what == "email":
    import email
    print(hasattr(email, "message"), hasattr(email, "mime"), hasattr(email, "utils"))
    import email.mime.text
    print(hasattr(email, "mime"), hasattr(email.mime, "multipart"))
elif what == "late":
    print("html" in sys.modules, "html.entities" in sys.modules)
    import html
    print("html" in sys.modules, "html.entities" in sys.modules, html.unescape("&auml;") == "\xe4")
print("---")
print("\n".join(n for n in sys.modules if n not in first))
