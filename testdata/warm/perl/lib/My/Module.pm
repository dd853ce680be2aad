package My::Module;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(where);
our $count = 0;
sub where { $count++; return join " ", __PACKAGE__, (caller(0))[3], (caller(0))[2], $count }
sub fails { die "in a module" }
1;
__DATA__
data of the module
