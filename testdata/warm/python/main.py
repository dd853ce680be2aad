#!/usr/bin/python3
"""What a script is to itself: the main module, and nothing above it."""
import sys
import __main__

print("Content-Type: text/plain\n")
for name in sorted(globals()):
    value = globals()[name]
    print(name, type(value).__name__, repr(value) if isinstance(value, (str, dict, type(None))) else "")
print(__loader__.name, __loader__.path, __loader__.get_filename("__main__"), __loader__.is_package("__main__"))
print(__main__ is sys.modules["__main__"], __main__.__dict__ is globals(), vars(__main__) is globals())
print(__builtins__ is sys.modules["builtins"])


def frames():
    frame, seen = sys._getframe(), []
    while frame:
        seen.append((frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno, frame.f_globals is globals()))
        frame = frame.f_back
    return seen


print(frames())
try:
    sys._getframe(1)
except ValueError as e:
    print("above the main program:", e)

if __name__ == "__main__":
    print("run as a program")
