#!/usr/bin/perl
# The packages are those that a new interpreter has, whoever has loaded others.
print "Content-Type: text/plain\n\n";
print "$_\n" for grep { /::$/ } sort keys %main::;
print join(" ", grep { /::$/ } sort map { keys %$_ } \%Internals::, \%re::, \%IO::, \%Tie::, \%PerlIO::), "\n";
