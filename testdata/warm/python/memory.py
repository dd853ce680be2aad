#!/usr/bin/python3
# trial: error memory=200
# trial: told memory=512
# trial: cpu cpu=1
# trial: told cpu=7
# trial: stack
import os
import resource

how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n", flush=True)
if how == "error":
    x = bytearray(1 << 30)
elif how == "cpu":
    while True:
        pass
elif how == "stack":
    import sys
    sys.setrecursionlimit(20000)

    def down(n):
        return n and down(n - 1)
    print(down(15000) if sys.version_info >= (3, 11) else 0)
print(resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CPU))
