#!/bin/sh
# Writes five lines. After each it waits for the file $QUERY_STRING/LINE, which whoever
# reads makes when the line has arrived: output that is held back is never made whole.
printf 'Content-Type: text/plain\n\n'
for n in 1 2 3 4 5; do
	echo "line $n"
	while [ ! -e "$QUERY_STRING/$n" ]; do sleep 0.05; done
done
