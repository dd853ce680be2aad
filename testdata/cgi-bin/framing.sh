#!/bin/sh
printf 'Content-Type: text/plain\nTransfer-Encoding: chunked\n\n0\r\n\r\n'
