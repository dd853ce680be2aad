#!/bin/sh
# Fifty grandchildren, half of them in sessions of their own.
n=0
while [ $n -lt 25 ]; do
	(sleep 300 & setsid sleep 300 &)
	n=$((n + 1))
done
printf 'Content-Type: text/plain\n\nfifty\n'
