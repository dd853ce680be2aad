#!/usr/bin/perl
# trial: 1
# trial: 2
# Modules of the script's own folders come before those of the library, whoever has loaded those.
use strict;
use lib do { my ($d) = $0 =~ m{(.*)/}; "$d/lib" };
use Text::Wrap;
print "Content-Type: text/plain\n\n";
print Text::Wrap->VERSION, " ", Text::Wrap::wrap("", "", "x"), " ", $INC{'Text/Wrap.pm'} =~ m{perl/lib/Text/Wrap\.pm$} ? "own" : $INC{'Text/Wrap.pm'}, "\n";
print defined &Text::Wrap::fill ? "fill of the library" : "no fill", "\n";
if ($ENV{QUERY_STRING} == 2) { require Carp; print $Carp::VERSION, "\n"; Carp->import; eval { croak("x") }; print $@; eval { require CGI; 1 } and print "CGI\n" }
