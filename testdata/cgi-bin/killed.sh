#!/bin/sh
printf 'Content-Type: text/plain\n\nthe first half\n'
kill -KILL $$
