#!/usr/bin/perl
# A form by CGI::Fast: how often this process was asked, and an upload.
use strict;
use warnings;
use CGI::Fast;
use Digest::MD5;

my $count = 0;
while (my $q = CGI::Fast->new) {
    print $q->header(-type => 'text/plain', -cookie => $q->cookie(-name => 'count', -value => ++$count));
    if (my $file = $q->upload('file')) {
        binmode $file;
        my $name = $q->param('file');
        print "file: $name ", -s $file, ' ', Digest::MD5->new->addfile($file)->hexdigest, "\n";
    }
    print 'text: ', scalar($q->param('text')) // '', "\n";
}
