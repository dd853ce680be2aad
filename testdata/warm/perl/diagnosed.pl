#!/usr/bin/perl
use strict;
use diagnostics;
# Warnings and errors with their explanations from perldiag.
print "Content-Type: text/plain\n\n";
my $x;
print "a" . $x . "\n";
my $y = "3 apples" + 1;
die "at last";
