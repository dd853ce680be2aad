#!/usr/bin/perl
use strict;
use warnings;
# Ties, globs, closures and the end of objects.
print "Content-Type: text/plain\n\n";
package Counter { sub TIESCALAR { my $n = 0; bless \$n } sub FETCH { ${ $_[0] }++ } sub STORE { ${ $_[0] } = $_[1] } sub UNTIE { print "untied\n" } sub DESTROY { print "gone\n" } }
package Upper { sub TIEHANDLE { bless [] } sub PRINT { my $s = shift; print STDOUT map { uc } @_; 1 } }
package main;
tie my $c, 'Counter';
print "$c $c $c\n";
$c = 10; print "$c\n"; untie $c;
tie *UP, 'Upper'; print UP "loud\n"; untie *UP;
our @AUTO; sub AUTOLOAD { our $AUTOLOAD; push @AUTO, $AUTOLOAD; return if $AUTOLOAD =~ /DESTROY/; "auto($AUTOLOAD @_)" }
print missing(1), " ", main->method(2), "\n";
{ no strict 'refs'; *{"main::made"} = sub { "made @_" }; print made(3), "\n" }
BEGIN { *CORE::GLOBAL::time = sub { 42 } }
print time, " ", main->can('made') ? 1 : 0, " ", ref \&missing, "\n";
my @closures = map { my $n = $_; sub { $n++ } } 1 .. 2; $closures[0]->(); print $closures[0]->(), $closures[1]->(), "\n";
local $SIG{__DIE__} = sub { print "dying: $_[0]" };
eval { die "inside\n" };
local $@ = "kept"; eval { 1 }; print "[$@]\n";
{ local ($a, $b) = (1, 2); print $a + $b, "\n" }
sub lv :lvalue { my $x = \our $store; $$x } lv() = 5; print our $store, "\n";
print "prototype ", prototype("CORE::push") // 'none', " ", prototype(sub ($$) {}), "\n";
