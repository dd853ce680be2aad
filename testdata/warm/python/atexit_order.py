#!/usr/bin/python3
# trial: plain
# trial: fails
# trial: exits
# trial: thread
# trial: exception
# trial: unregister
# trial: fork
# trial: daemon
# mask: <lambda> at 0x([0-9a-f]+)
# At the end: threads, then what was registered, last first, then what is left is written.
import atexit
import os
import sys
import threading
import time
import weakref

how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n")


class Left:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        print("deleted", self.name)


def generator():
    try:
        yield
    finally:
        print("generator closed")


atexit.register(print, "registered first")
atexit.register(print, "registered second", file=sys.stderr)
one, g = Left("one"), generator()
next(g)
weakref.finalize(one, print, "finalized")
ring = [Left("in a ring")]
ring.append(ring)
if how == "fails":
    atexit.register(lambda: 1 / 0)
elif how == "exits":
    atexit.register(sys.exit, 5)
elif how == "thread":
    threading.Thread(target=lambda: (threading.main_thread().join(), print("from a thread"))).start()
elif how == "exception":
    raise ValueError("at last")
elif how == "unregister":
    atexit.unregister(print)
elif how == "fork":
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    atexit.register(print, "child" if pid == 0 else "parent")
elif how == "daemon":
    threading.Thread(target=lambda: time.sleep(60), daemon=True).start()
print("the last line")
