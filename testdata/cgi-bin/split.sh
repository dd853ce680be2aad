#!/bin/sh
printf 'Content-Type: text/plain\nX-A: b\rSet-Cookie: evil=1\n\nbody'
