#!/bin/sh
# Forgets its header, the most common mistake of all. A program must first say
# what it sends, and then an empty line:
#
#     echo 'Content-Type: text/plain; charset=utf-8'
#     echo

echo 'Hello, world!'
