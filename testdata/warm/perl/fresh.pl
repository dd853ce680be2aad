#!/usr/bin/perl
# distinct: yes
# Each line is different in each run: nothing random is shared.
use File::Temp;
use Time::HiRes;
print "Content-Type: text/plain\n\n";
print "rand ", rand(1e9), "\n";
print "rand ", rand(1e9), "\n";
print "pid $$\n";
my $t = File::Temp->new(TEMPLATE => "trialXXXXXXXX", DIR => $ENV{OUT});
print "temp ", $t->filename, "\n";
print "time ", Time::HiRes::time(), "\n";
print "shuffle ", do { require List::Util; join ",", List::Util::shuffle(1 .. 60) }, "\n";
