#!/bin/sh
printf 'status: 404 Gone Fishing\r\nSet-Cookie: a=1\nContent-Length: 5\r\nset-cookie: b=2\nX-Empty:\nContent-Type: text/x-own\n\nfive.'
