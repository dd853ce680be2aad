#!/usr/bin/perl -w
# trial: 0
# trial: 1
# trial: 2
# -w warns where a name is used once, whatever modules others have loaded.
my $how = $ENV{QUERY_STRING};
print "Content-Type: text/plain\n\n";
print "$^W\n";
my $undef;
print "x" . $undef . "\n";
$Data::Dumper::Indent = 1;
my $n = "12abc" + 1;
my @a = (1) x -1;
print "$n ", substr("abc", 5), "\n";
if ($how == 1) { require Data::Dumper; print Data::Dumper::Dumper([1]) }
if ($how == 2) { local $^W = 0; print "quiet" . $undef . "\n" }
sub redefined { 1 }
sub redefined { 2 }
print STDOUT (1, 2), "\n";
