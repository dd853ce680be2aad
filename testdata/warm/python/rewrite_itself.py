#!/usr/bin/python3
# own: yes
# A script may change its own file while it runs, and not be changed by it.
import inspect
import os

print("Content-Type: text/plain\n")
with open(__file__) as f:
    text = f.read()
with open(__file__, "w") as f:
    f.write("#!/usr/bin/python3\n" * 100 + text)


def here():
    return 1


print(os.path.getsize(__file__) > len(text))
raise ValueError("from a line that has moved")
