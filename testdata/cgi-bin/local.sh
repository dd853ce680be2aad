#!/bin/sh
printf 'Location: /cgi-bin/hello.sh?local\n\n'
