#!/usr/bin/perl
# trial: lines
# trial: slurp
# trial: seek
# trial: layers
# trial: fork
# trial: reopen
print "Content-Type: text/plain\n\n";
my $how = $ENV{QUERY_STRING};
if ($how eq 'lines') { print "$.: $_" while <DATA>; print eof(DATA), " ", tell(DATA) == -s $0, "\n" }
elsif ($how eq 'slurp') { local $/; print "[", <DATA>, "]\n"; print close(DATA), "\n" }
elsif ($how eq 'seek') { my $at = tell(DATA); seek DATA, 0, 0; my $first = <DATA>; print $first; seek DATA, $at, 0; print scalar <DATA>; print $at < -s $0, "\n" }
elsif ($how eq 'layers') { print join(" ", PerlIO::get_layers(DATA)), " ", fileno(DATA), " ", -f DATA, "\n"; binmode DATA, ":utf8"; my @l = <DATA>; print length $l[1], "\n" }
elsif ($how eq 'fork') { my $l = <DATA>; $| = 1; my $pid = fork; if (!$pid) { print "child ", scalar <DATA>; exit } waitpid $pid, 0; print "parent ", scalar <DATA> }
elsif ($how eq 'reopen') { open my $f, "<", $0 or die; my @l = <$f>; print scalar(@l), " $l[-1]" }
print "main: ", defined *main::DATA{IO}, " other: ", defined *Other::DATA{IO}, "\n";
package Other;
print "package: ", __PACKAGE__, "\n";
package main;
__DATA__
first
zweite Zeile: größer
third
__END__
not the end
