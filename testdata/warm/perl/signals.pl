#!/usr/bin/perl
# trial: state
# trial: pipe
# trial: term
# trial: segv
# trial: handler
# trial: alarm
# trial: int
# trial: child
# trial: local
# trial: group
# trial: fpe
# trial: chld
print "Content-Type: text/plain\n\n";
$| = 1;
my $how = $ENV{QUERY_STRING};
if ($how eq 'state') { print map { "$_ " . ($SIG{$_} // 'undef') . "\n" } sort keys %SIG }
elsif ($how eq 'pipe') { pipe my $r, my $w; close $r; syswrite $w, "x"; print "not here\n" }
elsif ($how eq 'term') { kill 'TERM', $$ }
elsif ($how eq 'segv') { kill 'SEGV', $$ }
elsif ($how eq 'handler') { $SIG{USR1} = sub { print "got $_[0]\n" }; $SIG{INT} = 'IGNORE'; kill 'USR1', $$; kill 'INT', $$; $SIG{TERM} = sub { die "terminated\n" }; eval { kill 'TERM', $$ }; print "caught $@" }
elsif ($how eq 'alarm') { eval { local $SIG{ALRM} = sub { die "alarm\n" }; alarm 1; sleep 30 }; print $@; alarm 0 }
elsif ($how eq 'int') { kill 'INT', $$ }
elsif ($how eq 'child') { my $pid = fork // die; if (!$pid) { sleep 30; exit } kill 'TERM', $pid; waitpid $pid, 0; print $? & 127, "\n" }
elsif ($how eq 'local') { { local $SIG{HUP} = 'IGNORE'; kill 'HUP', $$ } print "before\n"; kill 'HUP', $$; print "after\n" }
elsif ($how eq 'group') { $SIG{TERM} = sub { print "the group\n"; exit 4 }; kill '-TERM', getpgrp; print "late\n" }
elsif ($how eq 'fpe') { kill 'FPE', $$ }
elsif ($how eq 'chld') { $SIG{CHLD} = 'IGNORE'; system "exit 3"; print "$? ", $! + 0, "\n"; $SIG{CHLD} = sub { print "child gone\n" }; system "true"; if (!(my $p = fork)) { exit } else { sleep 1 while wait > 0 } print "end\n" }
