#!/usr/bin/perl
use strict;
print "Content-Type: text/plain\n\n";
print "never printed\n";
my $x = ;
$undeclared = 1;
