#!/bin/sh
# Reads all of its input before it answers.
n=$(wc -c)
printf 'Content-Type: text/plain\n\n%s\n' "$n"
