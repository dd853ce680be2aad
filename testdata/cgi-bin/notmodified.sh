#!/bin/sh
# Has nothing newer than the client, says so with a validator, and writes a body that may not be.
printf 'Status: 304 Not Modified\nETag: "abc"\nContent-Type: text/plain\n\nbut still some text\n'
