#!/usr/bin/python3
# trial: none
# trial: lines post=one%0Atwo%0D%0Athree
# trial: read post=h%C3%A4lf%0Aand+half
# trial: buffer post=%00%01%FE%FF
# trial: part post=0123456789
# trial: input post=first%0Asecond
# trial: input
# trial: os post=0123456789
# trial: lines file=one%0Atwo%0D%0Athree
# trial: part file=0123456789
# trial: seek file=0123456789
# trial: wrong post=%FF%FE
# trial: fileinput post=a%0Ab%0A
import os
import sys

print("Content-Type: text/plain\n")
how = os.environ["QUERY_STRING"]
if how == "lines":
    print([line for line in sys.stdin])
elif how == "buffer":
    print(sys.stdin.buffer.read(int(os.environ["CONTENT_LENGTH"])), sys.stdin.buffer.read())
elif how == "part":
    print(repr(sys.stdin.read(3)), os.read(0, 100), repr(sys.stdin.read()))
elif how == "input":
    print(input())
    print(input("prompt "))
    print(input())
elif how == "os":
    print(os.read(0, 4), os.read(0, 100), os.read(0, 1))
elif how == "seek":
    sys.stdin.seek(5)
    print(sys.stdin.read(), sys.stdin.tell(), os.fstat(0).st_size)
elif how == "fileinput":
    import fileinput
    for line in fileinput.input():
        print(fileinput.lineno(), fileinput.isstdin(), repr(line))
else:
    print(repr(sys.stdin.read()))
