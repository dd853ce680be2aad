#!/bin/sh
printf 'HTTP/1.1 299 My Own\r\nX-Raw:  two  spaces\r\nx-lower: kept\r\n\r\nthe body\n'
