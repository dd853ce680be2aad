#!/usr/bin/perl
# A form by CGI.pm: an upload with a cookie for an answer, or a redirect.
use strict;
use warnings;
use CGI;
use Digest::MD5;

my $q = CGI->new;
if (defined $q->param('to')) {
    print $q->redirect(-uri => scalar $q->param('to'), -status => 303);
    exit;
}
my $seen = $q->cookie('seen') // 'none';
my $cookie = $q->cookie(-name => 'seen', -value => $seen eq 'none' ? 'once' : 'again', -path => '/', -httponly => 1);
print $q->header(-type => 'text/plain', -cookie => [$cookie, $q->cookie(-name => 'second', -value => '2')]);
print "seen: $seen\n";
if (my $file = $q->upload('file')) {
    binmode $file;
    my $name = $q->param('file');
    print "file: $name ", -s $file, ' ', Digest::MD5->new->addfile($file)->hexdigest, "\n";
}
print "text: ", scalar($q->param('text')) // '', "\n";
