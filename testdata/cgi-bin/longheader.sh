#!/bin/sh
# Fifteen fields of 4,000 bytes: 60 KB of header.
x=$(head -c 4000 /dev/zero | tr '\0' 'x')
printf 'Content-Type: text/plain\n'
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do printf 'X-Long: %s\n' "$x"; done
printf '\nlong\n'
