#!/usr/bin/perl
# trial: error memory=200
# trial: told memory=512
# trial: cpu cpu=1
# trial: told cpu=7
print "Content-Type: text/plain\n\n";
$| = 1;
print "start\n";
if ($ENV{QUERY_STRING} eq 'error') { my $n = 1 << 30; my $x = "x" x $n; print length $x, "\n" }
elsif ($ENV{QUERY_STRING} eq 'cpu') { 1 while 1 }
else { open my $f, "<", "/proc/self/limits"; print grep { /address space|cpu time/ } <$f> }
