#!/usr/bin/perl
# trial: write
# trial: umask
# trial: relative
# trial: lock
# trial: inplace
# trial: unclosed
# trial: dbm
# trial: nobody
use strict;
use warnings;
use Fcntl qw(:flock :mode);
print "Content-Type: text/plain\n\n";
my ($out, $how) = @ENV{qw(OUT QUERY_STRING)};
if ($how eq 'write') { for my $mode (">", ">:utf8", ">:raw:crlf") { (my $n = $mode) =~ s/\W/_/g; open my $f, $mode, "$out/$n" or die; print $f "\x{e4}\n"; close $f } mkdir "$out/folder"; symlink "_", "$out/link" }
elsif ($how eq 'umask') { umask 077; open my $f, ">", "$out/private"; umask 0; open $f, ">", "$out/public"; print S_IMODE((stat "$out/public")[2]), "\n"; $| = 1; system "umask" }
elsif ($how eq 'relative') { chdir $out; open my $f, ">", "here" or die; print $f "found"; close $f; print -s "here", " ", -e $0 ? "there" : "gone", "\n" }
elsif ($how eq 'lock') { for (1 .. 2) { open my $f, ">>", "$out/log" or die; flock $f, LOCK_EX; print $f "line $_ ", tell $f, "\n" } }
elsif ($how eq 'inplace') { open my $f, ">", "$out/x" or die; print $f "a\nb\n"; close $f; local ($^I, @ARGV) = ('.bak', "$out/x"); while (<>) { s/a/A/; print } print "done\n" }
elsif ($how eq 'unclosed') { open our $f, ">", "$out/unclosed" or die; print $f "is written at the end" }
elsif ($how eq 'dbm') { require SDBM_File; tie my %h, 'SDBM_File', "$out/db", O_RDWR() | O_CREAT(), 0666 or die; $h{k} = "v"; print join(",", %h), "\n"; untie %h }
elsif ($how eq 'nobody') { no warnings; open F, ">$out/bare"; print F "x"; print -s F, "\n"; close F; opendir D, $out; print sort grep { !/^\./ } readdir D; print "\n"; unlink glob "$out/*"; print scalar(my @l = <$out/*>), "\n" }
sub O_RDWR { Fcntl::O_RDWR() } sub O_CREAT { Fcntl::O_CREAT() }
