#!/usr/bin/perl
# trial: one how=any
use strict;
use warnings;
use Config;
print "Content-Type: text/plain\n\n";
unless ($Config{usethreads}) { print "no threads\n"; exit }
require threads;
my @t = map { my $n = $_; threads->create(sub { return $n * $n }) } 1 .. 3;
print join(" ", map { $_->join } @t), "\n";
