#!/usr/bin/python3
# Fails on purpose. What a program writes to standard error goes to the log
# and, while you develop, to the page as well, beside the exit status.
import sys

print("error.py: cannot open notes.txt: no such file", file=sys.stderr)
sys.exit(3)
