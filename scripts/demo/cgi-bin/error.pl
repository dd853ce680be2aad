#!/usr/bin/perl
# Fails on purpose. What a program writes to standard error goes to the log
# and, while you develop, to the page as well, beside the exit status.
use strict;
use warnings;

print STDERR "error.pl: cannot open notes.txt: no such file\n";
exit 3;
