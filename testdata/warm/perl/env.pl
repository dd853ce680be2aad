#!/usr/bin/perl
# trial: plain
# trial: lang LC_ALL=C.UTF-8
# trial: posix LC_ALL=C
# trial: unknown how=any LC_ALL=xx_YY
# trial: bytes GREETING=gr%FC%DF
# trial: tz TZ=Asia/Kolkata
# The environment is the request's, to the last variable, here and in children.
print "Content-Type: text/plain\n\n";
print "$_=$ENV{$_}\n" for sort keys %ENV;
print scalar(localtime(0)), "\n";
$ENV{ADDED} = 1;
delete $ENV{PATH};
{ local $ENV{LOCAL} = 2; local $| = 1; print "children\n"; system "/usr/bin/env" }
print sort `/usr/bin/env`;
%ENV = (ONLY => 1);
$| = 1;
print "only\n";
system "/usr/bin/env";
exec "/usr/bin/env";
