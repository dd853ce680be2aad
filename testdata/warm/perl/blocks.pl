#!/usr/bin/perl
# trial: plain
# trial: exit
# trial: die
# trial: exitbegin
# trial: diebegin
# trial: dieinit
# trial: dieend
# trial: status
# trial: destroy
# mask: \(eval (\d+)\)
# The blocks run in their order, each in its phase.
my $how;
BEGIN { $how = $ENV{QUERY_STRING}; $| = 1; print "Content-Type: text/plain\n\n1 begin ${^GLOBAL_PHASE}\n" }
print "10 run ${^GLOBAL_PHASE}\n";
INIT { print "6 init ${^GLOBAL_PHASE}\n"; die "in INIT\n" if $how eq 'dieinit' }
CHECK { print "5 check ${^GLOBAL_PHASE}\n" }
UNITCHECK { print "3 unitcheck ${^GLOBAL_PHASE}\n" }
END { print "12 end ${^GLOBAL_PHASE} $?\n"; die "in END" if $how eq 'dieend'; $? = 42 if $how eq 'status' }
BEGIN { print "2 begin ${^GLOBAL_PHASE}\n"; exit 3 if $how eq 'exitbegin'; die "in BEGIN" if $how eq 'diebegin' }
INIT { print "7 init\n" }
CHECK { print "4 check\n" }
END { print "11 end\n" }
package Left { sub new { bless [$_[1]] } sub DESTROY { print "destroyed $_[0][0] ${^GLOBAL_PHASE}\n" } }
our $global = Left->new("global");
my $lexical = Left->new("lexical");
eval 'BEGIN { print "begin in eval\n" } INIT { print "too late\n" } END { print "end of eval\n" } print "eval ${^GLOBAL_PHASE}\n"';
{ my $inner = Left->new("inner") }
if ($how eq 'exit') { exit 5 }
if ($how eq 'die') { die "in the main program" }
if ($how eq 'destroy') { my $ring = Left->new("ring"); push @$ring, $ring; $global = 1; undef $lexical }
print "the last line\n";
