#!/bin/sh
# Leaves a process behind, in a session of its own, that holds the standard output.
setsid sleep 300 &
printf 'Content-Type: text/plain\n\nstarted\n'
