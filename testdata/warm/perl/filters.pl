#!/usr/bin/perl
# A source filter of the script's own, and one of the library.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Shout;
PRINT "Content-Type: text/plain\n\n";
PRINT "filtered, line ", __LINE__, "\n";
no Shout;
print "no longer: PRINT\n";
print "data: ", <DATA>;
__DATA__
PRINT is not changed here
