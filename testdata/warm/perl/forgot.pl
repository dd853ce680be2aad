#!/usr/bin/perl
# trial: method
# trial: function
# trial: can
# trial: stash
# trial: indirect
# trial: string
# trial: constant
# trial: isa
# mask: \(eval (\d+)\)
# What the script has not loaded is not there, whoever else has loaded it.
print "Content-Type: text/plain\n\n";
my $how = $ENV{QUERY_STRING};
if ($how eq 'method') { my $q = CGI->new; print ref $q, "\n" }
elsif ($how eq 'function') { print Data::Dumper::Dumper([1]) }
elsif ($how eq 'can') { print join(" ", map { $_->can('new') || $_->can('import') ? "$_ can" : "$_ cannot" } qw(CGI Data::Dumper IO::File Encode POSIX File::Temp HTML::Entities Carp Exporter)), "\n";
    print defined &Carp::croak ? "croak" : "no croak", " ", defined &POSIX::floor ? "floor" : "no floor", " ", defined &Time::HiRes::time ? 1 : 0, "\n" }
elsif ($how eq 'stash') { no strict 'refs'; print join(" ", map { scalar(keys %{"${_}::"}) } qw(CGI Data::Dumper POSIX HTML::Entities Text::Wrap File::Temp)), "\n" }
elsif ($how eq 'indirect') { my $q = eval q{new CGI ("a=1")}; print ref $q, " $@\n" }
elsif ($how eq 'string') { print "" . CGI, " ", "" . Text::Wrap, "\n"; print CGI->VERSION // 'no version', " ", $CGI::VERSION // 'none', " ", $strict::VERSION // 'none', "\n" }
elsif ($how eq 'constant') { print EINTR(), "\n" }
elsif ($how eq 'isa') { print UNIVERSAL::isa('CGI', 'UNIVERSAL') ? 1 : 0, " ", join(",", @CGI::ISA), " ", join(",", @IO::File::ISA), "\n"; print STDOUT->can('autoflush') ? "file handles have methods" : "no methods", "\n"; STDOUT->autoflush(1); print "$| $INC{'IO/File.pm'}\n" ne "" ? "$|\n" : "" }
