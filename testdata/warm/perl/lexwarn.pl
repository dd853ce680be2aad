#!/usr/bin/perl
use strict;
use warnings;
# Lexical warnings with their words and lines, fatal and not.
print "Content-Type: text/plain\n\n";
my ($x, %h, @l);
print "value: $x\n";
print "element: $h{none} $l[3]\n";
my $sum = 1 + "two";
{ no warnings; print "quiet: $x\n" }
print "wide \x{20ac}\n";
print NOWHERE "x";
close NOWHERE;
my $s = sprintf "%d %s", "3x";
my @sorted = sort { $a <=> $b } qw(b 1);
local $SIG{__WARN__} = sub { print "caught: $_[0]" };
warn "mine";
print "again $x\n";
printf "%z\n";
use warnings FATAL => 'uninitialized';
print "deadly: $x\n";
print "never\n";
