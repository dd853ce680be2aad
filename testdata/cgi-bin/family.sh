#!/bin/sh
# Answers with the pids of a child and of one in a session of its own, then stays.
sleep 300 &
child=$!
setsid sleep 300 &
printf 'Content-Type: text/plain\n\n%s\n%s\n' $child $!
wait
