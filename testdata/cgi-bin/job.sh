#!/bin/sh
# Answers, and leaves a job behind that keeps the standard output.
sleep 300 &
printf 'Status: 202 Accepted\nContent-Type: text/plain\n\n%s\n' $!
