#!/usr/bin/python3
# trial: list
# trial: list file=body
# trial: list post=body
# trial: next
# trial: stdout
# trial: stderr
# trial: stdin
# trial: range
# trial: all
# trial: object
# trial: detach
# trial: replace
# trial: dup
# trial: inherit
# trial: none
# mask: pipe:\[(\d+)\]
# mask: trial-body-(\d+)
import io
import os
import stat
import subprocess
import sys

how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n")
if how == "list":
    d = os.open("/proc/self/fd", os.O_RDONLY)
    for n in sorted(os.listdir(d), key=int):
        to = os.readlink("/proc/self/fd/" + n) if int(n) != d else "the folder"
        mode = os.fstat(int(n)).st_mode
        print(n, to.split("/out")[0] if "/body" in to else to, stat.S_IFMT(mode), os.get_inheritable(int(n)), os.get_blocking(int(n)))
elif how == "next":
    print([os.open("/dev/null", os.O_RDONLY) for _ in range(3)], os.pipe())
elif how == "stdout":
    os.close(1)
elif how == "stderr":
    os.close(2)
    raise ValueError("nobody hears")
elif how == "stdin":
    os.close(0)
    print(os.open("/dev/null", os.O_RDONLY))
    print(sys.stdin.read())
elif how == "range":
    sys.stdout.flush()
    os.closerange(3, 1024)
    print(subprocess.check_output(["/bin/echo", "still here"]))
elif how == "all":
    sys.stdout.flush()
    os.closerange(0, 1024)
    os._exit(4)
elif how == "object":
    sys.stdout.close()
    print("into nothing")
elif how == "detach":
    raw = sys.stdout.detach()
    raw.write(b"through the buffer\n")
    print("nowhere")
elif how == "replace":
    old, sys.stdout = sys.stdout, io.StringIO()
    print("caught")
    print(repr(sys.stdout.getvalue()), file=old)
elif how == "dup":
    sys.stdout.flush()
    with open(os.path.join(os.environ["OUT"], "copy"), "w") as f:
        os.dup2(f.fileno(), 1)
    os.system("echo to a file")
elif how == "inherit":
    f = open(os.path.join(os.environ["OUT"], "x"), "w")
    r, w = os.pipe()
    sys.stdout.flush()
    subprocess.run(["/bin/sh", "-c", "ls /proc/$$/fd"], pass_fds=[r])
    os.system("ls /proc/$$/fd")
elif how == "none":
    sys.stdout = sys.stdin = None
    print("nobody")
print("end")
