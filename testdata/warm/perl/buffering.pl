#!/usr/bin/perl
# trial: system
# trial: fork
# trial: _exit
# trial: exec
# trial: kill
# trial: autoflush
# trial: local
# trial: syswrite
# trial: large
# trial: stderr
# trial: dup
# trial: pipe
# trial: backtick
# trial: abort
# trial: selected
# trial: binary
my $how = $ENV{QUERY_STRING};
print "Content-Type: text/plain\n\nin the buffer\n";
if ($how eq 'system') { system "echo from a shell"; system "/bin/echo", "from", "a", "child" }
elsif ($how eq 'fork') { my $pid = fork; if ($pid) { waitpid $pid, 0; print "parent $?\n" } else { print "child\n"; exit 3 } }
elsif ($how eq '_exit') { require POSIX; POSIX::_exit(7) }
elsif ($how eq 'exec') { exec "/bin/echo", "from another program" }
elsif ($how eq 'kill') { kill 'KILL', $$ }
elsif ($how eq 'autoflush') { $| = 1; print "now\n"; kill 'KILL', $$ }
elsif ($how eq 'local') { { local $| = 1; print "flushed " } print "[$|] not flushed "; syswrite STDOUT, "straight " }
elsif ($how eq 'syswrite') { syswrite STDOUT, "first\n"; print "text\n" }
elsif ($how eq 'large') { print "$_ " for 1 .. 20000; syswrite STDOUT, "[first?]" }
elsif ($how eq 'stderr') { for (1 .. 3) { print "out $_\n"; print STDERR "err $_\n"; warn "warn $_" } print STDERR "no end of line" }
elsif ($how eq 'dup') { open my $old, ">&", \*STDOUT or die; close STDOUT; open STDOUT, ">", "$ENV{OUT}/copy" or die; print "to a file\n"; system "echo child to a file"; close STDOUT; open STDOUT, ">&", $old; print "back\n" }
elsif ($how eq 'pipe') { open my $p, "|-", "tr a-z A-Z" or die; print $p "upper\n"; close $p; print "$?\n"; open $p, "-|" // die or do { print "from the child\n"; exit 4 }; print "got ", <$p>; close $p; print $? >> 8, "\n" }
elsif ($how eq 'backtick') { my $x = `echo out; echo err >&2; exit 5`; print $x, $? >> 8, "\n"; print qx{echo \$0}; my @l = `printf 'a\\nb\\n'`; print scalar @l, "\n" }
elsif ($how eq 'abort') { require POSIX; POSIX::abort() }
elsif ($how eq 'selected') { select STDERR; print "to stderr\n"; $| = 1; select STDOUT; print "to stdout $|\n" }
elsif ($how eq 'binary') { print map { chr } 0 .. 255; print pack("C*", 0 .. 255) x 300 }
print "the end\n";
