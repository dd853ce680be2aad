#!/usr/bin/python3
# trial: KILL
# trial: TERM
# trial: HUP
# trial: ABRT
# trial: BUS
# trial: FPE
# trial: USR1
# trial: ctypes
# trial: group
import os
import signal

how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n", flush=True)
if how == "ctypes":
    import ctypes
    ctypes.string_at(0)
elif how == "group":
    os.kill(0, signal.SIGTERM)
else:
    os.kill(os.getpid(), getattr(signal, "SIG" + how))
print("survived")
