#!/usr/bin/perl
# Without "use utf8" a text is octets.
print "Content-Type: text/plain\n\n";
my $x = "ä";
print length $x, " ", join(",", map ord, split //, $x), " ", lc "Ä", " ", "ä" =~ /^\w/ ? 1 : 0, "\n";
{ use bytes; print length "\x{20ac}", "\n" }
{ use locale; print lc "ABC", "\n" }
print sprintf("%s", "ä" . chr 0x100) =~ /\x{100}/ ? 1 : 0, "\n";
