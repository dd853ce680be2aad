#!/usr/bin/perl
# trial: use
# trial: require
# trial: do
# trial: findbin
# trial: relative
# trial: fails
# trial: data
# trial: inchook
# Modules and parts of the script's own folders.
use strict;
use warnings;
print "Content-Type: text/plain\n\n";
my $how = $ENV{QUERY_STRING};
my ($dir) = $0 =~ m{(.*)/};
if ($how eq 'use') { eval 'use lib "$dir/lib"; use My::Module; print where(), "\n", where(), "\n"; 1' or die $@; print $INC[0] eq "$dir/lib", " ", $INC{'My/Module.pm'} eq "$dir/lib/My/Module.pm", "\n" }
elsif ($how eq 'require') { print require "./lib/part.pl", "\n"; print part(), " $main::from_part ", require("./lib/part.pl"), "\n"; print join(" ", grep { /part/ } keys %INC), "\n" }
elsif ($how eq 'do') { print do "./lib/part.pl", "\n"; my $r = do "./no-such.pl"; print defined $r ? "some" : "$!", "\n"; eval { require "lib/part.pl" }; print $@ =~ s/\(\@INC.*//sr, "\n" }
elsif ($how eq 'findbin') { require FindBin; no warnings 'once'; print $FindBin::Bin eq $dir, " $FindBin::Script ", $FindBin::RealBin eq $dir, "\n" }
elsif ($how eq 'relative') { open my $f, "<", "lib/part.pl" or die $!; print scalar(my @l = <$f>), "\n" }
elsif ($how eq 'fails') { push @INC, "$dir/lib"; require My::Module; My::Module::fails() }
elsif ($how eq 'data') { push @INC, "$dir/lib"; require My::Module; no warnings 'once'; print <My::Module::DATA>; print defined *main::DATA{IO} ? "main" : "none", "\n" }
elsif ($how eq 'inchook') { unshift @INC, sub { print "asked for $_[1]\n"; return unless $_[1] eq 'Made/Up.pm'; my $s = "package Made::Up; sub x { 'made up' } 1;"; open my $f, "<", \$s; return $f }; require Made::Up; print Made::Up::x(), "\n"; require Text::Tabs; require strict }
