#!/usr/bin/perl
use strict;
use warnings;
use utf8;
use open qw(:std :utf8);
# A source in UTF-8, with names in it, and streams that are told so.
print "Content-Type: text/plain; charset=utf-8\n\n";
my $größe = "Größe €";
print "$größe ", length $größe, " ", uc $größe, " ", $größe =~ /^\w+/ ? $& : '', "\n";
print join(" ", PerlIO::get_layers(STDOUT)), "\n";
my %h = (ключ => 1);
print sort keys %h;
print "\n\N{U+263A} \N{GREEK SMALL LETTER ALPHA}\n";
die "größer als nichts";
