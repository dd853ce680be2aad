#!/usr/bin/perl
# own: yes
print "Content-Type: text/plain\n\n";
unlink $0 or die $!;
print -e $0 ? "there\n" : "gone\n";
print while <DATA>;
die "without a file";
__DATA__
still to be read
