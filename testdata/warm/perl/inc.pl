#!/usr/bin/perl
# trial: 0
# trial: 1
# trial: 2
# trial: 3
# mask: \(eval (\d+)\)
# %INC holds what this run has loaded, @INC the folders of the interpreter.
BEGIN { print "Content-Type: text/plain\n\n"; print map { "$_ $INC{$_}\n" } sort keys %INC; print "inc $_\n" for @INC }
my $how = $ENV{QUERY_STRING};
if ($how == 1) { require strict; require Carp; }
if ($how == 2) { require CGI; CGI::Util->import; }
if ($how == 3) { require POSIX; require Data::Dumper; require Encode; eval { require No::Such::Module }; print $@; eval { require "no/such.pl" }; print $@; eval "use Also::Not::There; 1" or print $@; }
print "---\n", map { "$_ $INC{$_}\n" } sort keys %INC;
print join(" ", map { ref || "plain" } @INC), "\n";
print exists $INC{'CGI.pm'} ? "CGI" : "no CGI", "\n";
