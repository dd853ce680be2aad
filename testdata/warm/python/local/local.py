#!/usr/bin/python3
# trial: plain
# trial: fails
# trial: main
# Modules of the script's own folder, with a package and a cycle.
import os
import sys

import helper
import pkg.sub
from pkg import name

print("Content-Type: text/plain\n")
print(helper.__name__, helper.__file__.endswith("local/helper.py"), helper.calls(), pkg.sub.where(), name)
print(sorted(m for m in sys.modules if m.startswith(("helper", "pkg"))), pkg.__path__ == [os.path.join(os.path.dirname(__file__), "pkg")])
if os.environ["QUERY_STRING"] == "fails":
    helper.fails()
elif os.environ["QUERY_STRING"] == "main":
    print(helper.main())
