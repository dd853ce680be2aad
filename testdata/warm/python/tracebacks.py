#!/usr/bin/python3
# trial: plain
# trial: chained
# trial: cause
# trial: library
# trial: recursion
# trial: deep
# trial: syntax
# trial: compile
# trial: unicode
# trial: multiline
# trial: attribute
# trial: name
# trial: import
# trial: noted
# trial: group
# trial: hook
# trial: brokenhook
# trial: thread
# trial: unraisable
# trial: decode
# trial: assert
# trial: lambda
# trial: generator
# trial: print
# trial: nostderr
# trial: memory
# mask: 0x([0-9a-f]+)
# mask: line repeated (\d+) more times
"""Uncaught exceptions are told on standard error in the words of the interpreter."""
import os
import sys

print("Content-Type: text/plain\n")
how = os.environ["QUERY_STRING"]


def fail(text="what went wrong"):
    raise ValueError(text)


def library():
    import json
    json.loads("{\"a\": }")


def recursion():
    recursion()


def generator():
    yield 1
    yield 1 / 0


class Bad:
    def __del__(self):
        raise OSError("in __del__")

    def __repr__(self):
        raise TypeError("in __repr__")


if how == "plain":
    fail()
elif how == "chained":
    try:
        fail()
    except ValueError:
        {}["missing"]
elif how == "cause":
    try:
        fail()
    except ValueError as e:
        raise RuntimeError("because of it") from e
elif how == "library":
    library()
elif how == "recursion":
    recursion()
elif how == "deep":
    def down(n):
        return down(n - 1) if n else fail("deep down")
    down(20)
elif how == "syntax":
    import broken_syntax
elif how == "compile":
    compile("a = (\nb = 2", "<made up>", "exec")
elif how == "unicode":
    fail("\xe4\u20ac\U0001f600 \udc80")
elif how == "multiline":
    fail("one"
         "two" +
         "three\nfour")
elif how == "attribute":
    sys.exitt()
elif how == "name":
    print(undefined_name)
elif how == "import":
    from json import no_such_name
elif how == "noted":
    e = ValueError("with a note")
    if hasattr(e, "add_note"):
        e.add_note("the note")
    raise e
elif how == "group":
    if sys.version_info >= (3, 11):
        raise ExceptionGroup("several", [ValueError(1), TypeError("t")])
    fail("no groups")
elif how == "hook":
    sys.excepthook = lambda kind, value, tb: print("hooked:", kind.__name__, value, tb.tb_lineno, file=sys.stderr)
    fail()
elif how == "brokenhook":
    sys.excepthook = lambda *a: 1 / 0
    fail()
elif how == "thread":
    import threading
    t = threading.Thread(target=fail, name="mine")
    t.start()
    t.join()
elif how == "unraisable":
    Bad()
    left = Bad()
elif how == "decode":
    b"\xff".decode()
elif how == "assert":
    assert how == "other", "said " + how
elif how == "lambda":
    list(map(lambda x: 1 / x, [1, 0]))
elif how == "generator":
    sum(generator())
elif how == "print":
    import traceback
    traceback.print_stack()
    try:
        fail()
    except ValueError:
        traceback.print_exc(file=sys.stdout)
        print(traceback.extract_stack())
        print(traceback.format_exc().splitlines()[-1])
elif how == "nostderr":
    sys.stderr = None
    fail()
elif how == "memory":
    raise MemoryError
