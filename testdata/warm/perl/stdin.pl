#!/usr/bin/perl
# trial: lines post=one%0Atwo%0D%0Athree
# trial: lines file=one%0Atwo%0D%0Athree
# trial: slurp post=all%0Aof%0Ait
# trial: read post=0123456789
# trial: read file=0123456789
# trial: sysread post=0123456789
# trial: diamond post=a%0Ab%0A
# trial: diamond
# trial: seek file=0123456789
# trial: paragraph post=a%0Ab%0A%0A%0Ac
# trial: getc post=xyz
# trial: child post=first%0Asecond%0A
# trial: child file=first%0Asecond%0A
# trial: dup post=first%0Asecond%0A
# trial: eof
# trial: chomp post=line
print "Content-Type: text/plain\n\n";
$| = 1;
my $how = $ENV{QUERY_STRING};
if ($how eq 'lines') { print "$.: [", join(",", map ord, split //), "]\n" while <STDIN> }
elsif ($how eq 'slurp') { local $/; print length <STDIN>, "\n" }
elsif ($how eq 'read') { read STDIN, my $a, 3; read STDIN, my $b, $ENV{CONTENT_LENGTH} - 3; read STDIN, my $c, 5; print "$a|$b|$c|", eof(STDIN), "\n" }
elsif ($how eq 'sysread') { sysread STDIN, my $a, 4; sysread STDIN, my $b, 100, 2; print "$a|", unpack("H*", $b), "|", sysread(STDIN, $a, 1), "\n" }
elsif ($how eq 'diamond') { print "$ARGV $.: $_" while <>; print "end ", eof() ? 1 : 0, "\n" }
elsif ($how eq 'seek') { seek STDIN, 5, 0; print scalar <STDIN>, tell STDIN, "\n" }
elsif ($how eq 'paragraph') { local $/ = ""; print map { chomp; "<$_>" } <STDIN>; print "\n" }
elsif ($how eq 'getc') { print getc, getc STDIN, getc, defined getc() ? "more" : "end", "\n" }
elsif ($how eq 'child') { system "head -n 1"; print scalar(<STDIN>) // "nothing left\n" }
elsif ($how eq 'dup') { open my $d, "<&", \*STDIN or die $!; close STDIN; print fileno $d, scalar <$d>; open STDIN, "<", $0; print fileno(STDIN), scalar <STDIN> }
elsif ($how eq 'eof') { print eof(STDIN) ? 1 : 0, eof ? 1 : 0, defined <STDIN> ? 1 : 0, "\n" }
elsif ($how eq 'chomp') { chomp(my $l = <STDIN>); print "$l $/ ", ord $/, "\n" }
