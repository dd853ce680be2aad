#!/bin/sh
# Neither answers nor ends when it is asked to.
trap '' TERM HUP INT
while :; do sleep 0.2; done
