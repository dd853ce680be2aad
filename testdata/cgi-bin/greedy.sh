#!/bin/sh
# Writes a mebibyte before it reads anything.
printf 'Content-Type: application/octet-stream\n\n'
head -c 1048576 /dev/zero
wc -c
