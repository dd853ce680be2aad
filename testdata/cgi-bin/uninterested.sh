#!/bin/sh
# Never looks at its input.
printf 'Content-Type: text/plain\n\nno, thanks\n'
