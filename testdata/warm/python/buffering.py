#!/usr/bin/python3
# trial: system
# trial: fork
# trial: _exit
# trial: exec
# trial: kill
# trial: writes
# trial: large
# trial: flushed
# trial: binary
# What is written when: text waits in a buffer until it is full or the program ends.
import os
import signal
import subprocess
import sys

how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n")
print("in the buffer")
if how == "system":
    os.system("echo from a shell")
    subprocess.run(["/bin/echo", "from a child"])
elif how == "fork":
    pid = os.fork()
    print("child" if pid == 0 else os.waitpid(pid, 0)[1])
elif how == "_exit":
    os._exit(7)
elif how == "exec":
    os.execv("/bin/echo", ["echo", "from another program"])
elif how == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif how == "writes":
    os.write(1, b"straight\n")
    sys.stdout.buffer.write(b"bytes\n")
    print("text")
    sys.stdout.buffer.write(b"more bytes\n")
    print("to stderr", file=sys.stderr)
elif how == "large":
    for n in range(20000):
        print(n, end=" ")
    os.write(1, b"[first?]")
elif how == "flushed":
    print("now", flush=True)
    os._exit(0)
elif how == "binary":
    sys.stdout.flush()
    sys.stdout.buffer.write(bytes(range(256)) * 300)
print("the end")
