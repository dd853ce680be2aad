#!/usr/bin/python3
# trial: none
# trial: 0
# trial: 3
# trial: 256
# trial: 257
# trial: -1
# trial: large
# trial: string
# trial: tuple
# trial: object
# trial: false
# trial: unicode
# trial: quit
# trial: raise
# trial: subclass
# trial: nested
# trial: finally
# trial: thread
# trial: _exit
# trial: abort
# trial: keyboard
# trial: brokenstr
import os
import sys
import threading

how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n")


class Odd:
    def __str__(self):
        return "an odd object"


class Broken:
    def __str__(self):
        raise ValueError("no text")


class Leave(SystemExit):
    pass


if how == "none":
    sys.exit()
elif how == "large":
    sys.exit(2 ** 70)
elif how == "string":
    sys.exit("a sentence")
elif how == "tuple":
    sys.exit((1, "two"))
elif how == "object":
    sys.exit(Odd())
elif how == "false":
    sys.exit(False)
elif how == "unicode":
    sys.exit("\u20ac \udc80")
elif how == "quit":
    quit("quit with text")
elif how == "raise":
    raise SystemExit
elif how == "subclass":
    raise Leave(5)
elif how == "nested":
    try:
        sys.exit(4)
    except SystemExit as e:
        print("caught", e.code)
        raise
elif how == "finally":
    try:
        sys.exit(6)
    finally:
        print("finally")
elif how == "thread":
    t = threading.Thread(target=sys.exit, args=(9,))
    t.start()
    t.join()
elif how == "_exit":
    os._exit(300)
elif how == "abort":
    os.abort()
elif how == "keyboard":
    raise KeyboardInterrupt
elif how == "brokenstr":
    sys.exit(Broken())
else:
    sys.exit(int(how))
