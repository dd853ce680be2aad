#!/usr/bin/python3
# trial: line
# trial: through
# trial: replaced
# trial: wrapper
# trial: latin
# trial: newline
# trial: print
# trial: both
import codecs
import contextlib
import io
import os
import sys

how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n")
if how == "line":
    sys.stdout.reconfigure(line_buffering=True)
    print("at once")
    os.write(1, b"then this\n")
elif how == "through":
    sys.stdout.reconfigure(write_through=True)
    sys.stdout.write("text through")
    sys.stdout.buffer.flush()
    os.write(1, b"|raw")
elif how == "replaced":
    sys.stdout = codecs.getwriter("utf-16")(sys.stdout.buffer)
    print("wide")
elif how == "wrapper":
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, "latin-1", "replace", newline="\r\n")
    print("\xe4\u20ac")
elif how == "latin":
    sys.stdout.reconfigure(encoding="latin-1", errors="xmlcharrefreplace")
    print("\xe4\u20ac")
elif how == "newline":
    sys.stdout = open(1, "w", newline="\r\n", closefd=False)
    print("a\nb")
elif how == "print":
    print(1, 2, sep="-", end="!\n", file=sys.__stdout__)
    with contextlib.redirect_stdout(sys.stderr):
        print("redirected")
    sys.stdout.writelines(["a", "b\n"])
    sys.displayhook([1])
elif how == "both":
    for n in range(3):
        print("out", n)
        print("err", n, file=sys.stderr)
    sys.stderr.write("no end of line")
