#!/usr/bin/python3
# trial: 0 how=any PYTHONHASHSEED=0
# trial: 42 how=any PYTHONHASHSEED=42
import sys

print("Content-Type: text/plain\n")
print(hash("a string"), set("abcdefgh"), sys.flags.hash_randomization)
