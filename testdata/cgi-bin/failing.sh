#!/bin/sh
printf 'Content-Type: text/plain\n'
exit 3
