#!/usr/bin/perl
# trial: one
# trial: two
# The order of a hash's keys is no one's to rely on, and its content is.
use strict;
print "Content-Type: text/plain\n\n";
my %h = map { $_ => length } qw(some words in a hash);
print join(" ", map { "$_=$h{$_}" } sort keys %h), " ", scalar(keys %h), " ", scalar(%h), "\n";
my ($first) = keys %h;
print exists $h{$first}, " ", (each %h)[0] eq $first ? "stable" : "unstable", "\n";
