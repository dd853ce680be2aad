#!/bin/sh
# Answers with its pid, then stays.
printf 'Content-Type: text/plain\n\n%s\n' $$
sleep 300
