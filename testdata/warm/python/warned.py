#!/usr/bin/python3
# trial: plain
# trial: error
# trial: once
# trial: filters
# trial: catch
# trial: capture
# trial: resource
# trial: syntax
import os
import sys
import warnings

how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n")


def old(level=2):
    warnings.warn("old is old", DeprecationWarning, stacklevel=level)


if how == "plain":
    old()
    old(1)
    old(3)
    warnings.warn("a user warning")
    for _ in range(3):
        warnings.warn("in a loop", RuntimeWarning)
    import string
    string.Template("").safe_substitute()
    warnings.warn_explicit("explicit", UserWarning, "some/file.py", 12)
elif how == "error":
    warnings.simplefilter("error")
    old()
elif how == "once":
    warnings.simplefilter("once")
    old()
    old()
elif how == "filters":
    print(warnings.filters, warnings._defaultaction if hasattr(warnings, "_defaultaction") else "")
    print(globals().get("__warningregistry__"))
elif how == "catch":
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        old()
    print([(str(w.message), w.lineno, w.filename == __file__) for w in caught])
elif how == "capture":
    import logging
    logging.captureWarnings(True)
    logging.basicConfig(format="%(levelname)s %(name)s %(module)s %(message)s")
    warnings.warn("by way of logging")
elif how == "resource":
    open(__file__)
    warnings.simplefilter("always", ResourceWarning)
    open(__file__)
elif how == "syntax":
    exec("x = 1 is 1", {})
    print(eval("'\\d'"))
