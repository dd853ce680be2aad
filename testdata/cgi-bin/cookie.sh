#!/bin/sh
# Answers with the length of the cookie that it was given.
printf 'Content-Type: text/plain\n\n%s\n' "${#HTTP_COOKIE}"
