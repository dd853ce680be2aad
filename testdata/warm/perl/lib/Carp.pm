package Carp;
our $VERSION = 'mine';
sub import { no strict 'refs'; *{ caller() . "::croak" } = sub { die "my own croak: @_\n" } }
sub croak { die "my own croak: @_\n" }
sub carp { warn "my own carp: @_\n" }
sub confess { croak(@_) }
sub shortmess { "@_" }
sub longmess { "@_" }
1;
