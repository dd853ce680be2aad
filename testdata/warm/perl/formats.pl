#!/usr/bin/perl
use strict;
use warnings;
# Formats, reports, and the variables around them.
our ($name, $value, $long) = ("first", 1.5, "a long text that is wrapped over several lines of the report");
format STDOUT_TOP =
Name    Value @>
$%
--------------
.
format STDOUT =
@<<<<<< @##.## ^<<<<<<<<
$name,  $value, $long
~~              ^<<<<<<<<
                $long
.
format Other =
@*
$name
.
print "Content-Type: text/plain\n\n";
write;
($name, $value, $long) = ("second", -20, "short");
write;
print "$~ $^ $= $- $:\n";
{ local $~ = "Other"; write }
formline "@>>>>|\n", "right";
print $^A;
