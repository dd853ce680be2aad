#!/usr/bin/perl
# trial: 0
# trial: 3
# trial: 256
# trial: -1
# trial: die
# trial: newline
# trial: object
# trial: errno
# trial: child
# trial: eval
# trial: exiteval
# trial: diehandler
# trial: warnhandler
# trial: nested
# trial: line
# trial: input post=a%0Ab%0A
# trial: empty
# trial: hash
# trial: sort
# trial: sub
# trial: require
# trial: posix
# trial: abort
# trial: last
# trial: return
# trial: deep
# trial: destroy
# trial: overloaded
# mask: 0x([0-9a-f]+)
# mask: \(eval (\d+)\)
print "Content-Type: text/plain\n\n";
my $how = $ENV{QUERY_STRING};
package Thing { use overload '""' => sub { "a thing\n" }; }
package Angry { sub DESTROY { die "in DESTROY" } }
if ($how eq 'die') { die "a reason" }
elsif ($how eq 'newline') { die "a reason with an end\n" }
elsif ($how eq 'object') { die { code => 3 } }
elsif ($how eq 'overloaded') { die bless {}, 'Thing' }
elsif ($how eq 'errno') { open my $f, "<", "/nonexistent" or die "cannot open: $!" }
elsif ($how eq 'child') { system "exit 6"; $! = 0; die "after a child" }
elsif ($how eq 'eval') { eval { die "caught" }; print "got $@"; eval "1 +* 2"; print "got $@"; eval { my $x = 1 / 0 }; print "got $@"; die }
elsif ($how eq 'exiteval') { eval { exit 7 }; print "not here\n" }
elsif ($how eq 'diehandler') { $SIG{__DIE__} = sub { print STDERR "handler: $_[0]"; exit 8 }; die "handled" }
elsif ($how eq 'warnhandler') { local $SIG{__WARN__} = sub { print "warned: $_[0]" }; warn "softly"; warn "with end\n"; warn }
elsif ($how eq 'nested') { sub a { b(@_) } sub b { die "in b(@_)" } a(1, 2) }
elsif ($how eq 'line') { 
# line 4711 "another file.pl"
    die "elsewhere" }
elsif ($how eq 'input') { my $l = <STDIN>; warn "after a line"; $l = <>; die "after two" }
elsif ($how eq 'empty') { die }
elsif ($how eq 'hash') { my %h = (1); use strict; my $x = "name"; print @$x }
elsif ($how eq 'sort') { my @x = sort { die "while sorting" } 1, 2 }
elsif ($how eq 'sub') { undefined_sub(1) }
elsif ($how eq 'require') { require No::Such }
elsif ($how eq 'posix') { require POSIX; POSIX::_exit(9) }
elsif ($how eq 'abort') { require POSIX; POSIX::abort() }
elsif ($how eq 'last') { last }
elsif ($how eq 'return') { return 5 }
elsif ($how eq 'deep') { use warnings; sub down { my $n = shift; down($n - 1) if $n } down(200); print "back\n" }
elsif ($how eq 'destroy') { my $a = bless [], 'Angry'; undef $a; print "goes on\n"; our $g = bless [], 'Angry' }
else { exit $how }
print "the end\n";
