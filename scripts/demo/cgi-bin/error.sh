#!/bin/sh
# Fails on purpose. What a program writes to standard error goes to the log
# and, while you develop, to the page as well, beside the exit status.

echo 'error.sh: cannot open notes.txt: no such file' >&2
exit 3
