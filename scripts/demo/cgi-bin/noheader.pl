#!/usr/bin/perl
# Forgets its header, the most common mistake of all. A program must first say
# what it sends, and then an empty line:
#
#     print "Content-Type: text/plain; charset=utf-8\n\n";
use strict;
use warnings;

print "Hello, world!\n";
