#!/usr/bin/perl
# mask: 0x([0-9a-f]+)
# At the end objects are destroyed, handles closed, and a failing one is told of.
use strict;
use warnings;
package Noisy { my $n = 0; sub new { bless { name => $_[1] } } sub DESTROY { my $s = shift; print "destroy $s->{name} ${^GLOBAL_PHASE}\n" } }
package main;
print "Content-Type: text/plain\n\n";
our $x = Noisy->new("global");
my $y = Noisy->new("file");
my %h = (k => Noisy->new("in a hash"));
%h = ();
open our $p, "|-", "cat" or die;
print $p "through a pipe\n";
$SIG{PIPE} = sub { print "pipe\n" };
END { print "END ", defined $x ? "still there" : "gone", "\n" }
