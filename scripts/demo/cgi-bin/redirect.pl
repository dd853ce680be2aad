#!/usr/bin/perl
# Sends the browser to another page. 303 tells it to fetch that page with GET,
# which is what you want after a form was sent with POST.
use strict;
use warnings;

print <<'END';
Status: 303 See Other
Location: /cgi-bin/env.pl?from=redirect.pl
Content-Type: text/plain; charset=utf-8

Please go on to /cgi-bin/env.pl
END
