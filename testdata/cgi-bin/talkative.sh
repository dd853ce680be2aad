#!/bin/sh
# A mebibyte of complaints before the header.
head -c 1048576 /dev/zero | tr '\0' 'e' >&2
printf 'Content-Type: text/plain\n\nsaid\n'
