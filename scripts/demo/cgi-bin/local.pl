#!/usr/bin/perl
# Lets another path of this server answer. The browser does not notice: its
# address bar keeps local.pl. That takes a Location with a path, and nothing
# else: no Status, no other field, no body (RFC 3875, section 6.2.2).
use strict;
use warnings;

print "Location: /cgi-bin/env.pl?from=local.pl\n\n";
