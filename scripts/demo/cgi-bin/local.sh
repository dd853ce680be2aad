#!/bin/sh
# Lets another path of this server answer. The browser does not notice: its
# address bar keeps local.sh. That takes a Location with a path, and nothing
# else: no Status, no other field, no body (RFC 3875, section 6.2.2).

printf 'Location: /cgi-bin/env.sh?from=local.sh\n\n'
