#!/usr/bin/perl
# trial: seed
# trial: hash how=any PERL_HASH_SEED=0
# trial: hash how=any PERL_HASH_SEED=7 PERL_PERTURB_KEYS=DETERMINISTIC
# trial: debug how=any PERL_HASH_SEED_DEBUG=1 PERL_HASH_SEED=0
# trial: rand how=any PERL_RAND_SEED=5
print "Content-Type: text/plain\n\n";
if ($ENV{QUERY_STRING} ne 'hash' && $ENV{QUERY_STRING} ne 'debug') { srand 42; print int rand 1e6, " ", int rand 1e6, " ", srand(7), " ", srand(8), "\n" }
my %h = map { $_ => 1 } 'a' .. 'z';
print join("", $ENV{PERL_HASH_SEED} ? keys %h : sort keys %h), "\n";
