#!/bin/sh
# Answers with its pid, and reads all of its input.
printf 'Content-Type: text/plain\n\n%s\n' $$
cat >/dev/null
sleep 300
