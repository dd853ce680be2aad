#!/usr/bin/python3
print("Content-Type: text/plain\n")
print("never printed")
if True
    pass
