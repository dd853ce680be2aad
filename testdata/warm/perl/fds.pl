#!/usr/bin/perl
# trial: stdout
# trial: stderr
# trial: stdin
# trial: all
# trial: range
# trial: reopen
# trial: inherit
# trial: next
# trial: full
use POSIX ();
print "Content-Type: text/plain\n\n";
my $how = $ENV{QUERY_STRING};
if ($how eq 'stdout') { close STDOUT or die; print "nowhere\n"; print STDERR "error: $!\n" }
elsif ($how eq 'stderr') { close STDERR; warn "unheard"; die "unheard" }
elsif ($how eq 'stdin') { close STDIN; open my $f, "<", $0; print fileno $f, "\n"; print defined(<STDIN>) ? "read" : "closed: $!", "\n" }
elsif ($how eq 'all') { $| = 1; POSIX::close($_) for 0 .. 200; exit 3 }
elsif ($how eq 'range') { POSIX::close($_) for 3 .. 200; $| = 1; print `echo still here` }
elsif ($how eq 'reopen') { open STDERR, ">&STDOUT" or die; $| = 1; print "out\n"; warn "with it"; system "echo child >&2" }
elsif ($how eq 'inherit') { $| = 1; open my $f, "<", $0; system "ls /proc/\$\$/fd"; { local $^F = 10; open my $g, "<", $0; system "ls /proc/\$\$/fd" } }
elsif ($how eq 'next') { open my $f, "<", $0; open my $g, "<", $0; print fileno $f, " ", fileno $g, "\n"; pipe my $r, my $w; print fileno $r, " ", fileno $w, "\n" }
elsif ($how eq 'full') { open my $f, ">", "/dev/full" or die; print $f "x" x 10; close $f or print "close: $!\n"; open STDOUT, ">", "/dev/full"; print "lost" }
