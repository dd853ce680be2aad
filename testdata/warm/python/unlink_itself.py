#!/usr/bin/python3
# trial: traceback
# trial: fine
# own: yes
# A script may remove its own file: what runs goes on.
import os

print("Content-Type: text/plain\n")
os.unlink(__file__)
print(os.path.exists(__file__))
if os.environ["QUERY_STRING"] == "traceback":
    raise ValueError("the line is not to be found")
