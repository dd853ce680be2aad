#!/usr/bin/perl
use strict;
use warnings;
print "Content-Type: text/plain\n\n";
$first = 1;
my $x = bareword;
print "never printed\n";
