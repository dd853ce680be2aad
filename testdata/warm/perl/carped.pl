#!/usr/bin/perl
# mask: \[(\w{3} \w{3} +\d+ [\d:]+ \d{4})\]
# trial: browser
# trial: log
# trial: warn
# CGI::Carp tells of errors in its own words.
use strict;
use warnings;
use CGI::Carp qw(fatalsToBrowser warningsToBrowser);
my $how = $ENV{QUERY_STRING};
if ($how eq 'browser') { die "for the browser" }
print "Content-Type: text/html\n\n";
warningsToBrowser(1);
warn "a warning";
if ($how eq 'log') { CGI::Carp::carpout(\*STDOUT); warn "in the log"; CGI::Carp::croak("croaked") }
