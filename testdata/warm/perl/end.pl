#!/usr/bin/perl
# __END__ opens DATA in the main program.
use strict;
use warnings;
print "Content-Type: text/plain\n\n";
print while <DATA>;

=pod

print "this is documentation\n";

=cut

print "after the documentation, line ", __LINE__, "\n";
__END__
text
behind the end

=head1 POD

=cut
