#!/usr/bin/python3
# The machinery of import is as a new interpreter has it.
import sys

print("Content-Type: text/plain\n")
print([getattr(f, "__name__", type(f).__name__) for f in sys.meta_path])
print([getattr(f, "__qualname__", repr(f)).split(" at ")[0] for f in sys.path_hooks])
import importlib.util
import json

print(json.__spec__ is importlib.util.find_spec("json"), json.__loader__ is json.__spec__.loader, type(json.__loader__).__name__, json.__loader__.path)
print(importlib.util.find_spec("email.mime").submodule_search_locations, importlib.util.find_spec("no_such_module"))
again = importlib.reload(json)
print(again is json, sys.modules["json"] is json)
del sys.modules["json"]
import json as second

print(second is json, second.dumps == json.dumps, second.JSONEncoder is json.JSONEncoder)
for name in ("no_such_module", "json.no_such", "xml.no_such.at_all"):
    try:
        __import__(name)
    except ImportError as e:
        print(type(e).__name__, e, e.name, e.path)
sys.modules["colorsys"] = None
try:
    import colorsys
except ImportError as e:
    print(type(e).__name__, e)


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("textwrap"):
            print("asked for", name)


sys.meta_path.insert(0, Finder())
import textwrap

print(textwrap.fill("a b", 1).split())
