#!/usr/bin/python3
# trial: plain
# trial: utf-8 LANG=C.UTF-8
# trial: ascii LC_ALL=C
# trial: posix LC_ALL=POSIX
# trial: unknown LANG=xx_YY.ISO-8859-99
# trial: bytes GREETING=gr%FC%DF%20dich
# trial: many A=1 B=2 HTTP_COOKIE=a%3D1 HOME=/nonexistent TZ=Europe/Berlin
# The environment is the request's, to the last variable, here and in children.
import os
import subprocess
import sys

sys.stdout.reconfigure(errors="backslashreplace")
print("Content-Type: text/plain\n")
for name, value in sorted(os.environ.items()):
    print(name, repr(value))
print(os.environb.get(b"GREETING"), os.getenv("HOME"), os.path.expanduser("~/x") == os.environ.get("HOME", "/root") + "/x")
print(list(os.environ)[:3], len(os.environ))
os.environ["ADDED"] = "1"
os.environ.pop("PATH")
os.putenv("PUT", "2")
sys.stdout.flush()
subprocess.run(["/usr/bin/env"], check=True)
os.system("/usr/bin/env | /usr/bin/grep -c .")
print(os.environ.get("LD_LIBRARY_PATH"), os.environ.get("PUT"))
