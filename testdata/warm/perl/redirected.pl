#!/usr/bin/perl
# needs: libcgi-pm-perl
use CGI;
print CGI->new->redirect(-uri => 'http://example.org/?a=1', -status => 303);
