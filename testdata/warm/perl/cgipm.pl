#!/usr/bin/perl
# needs: libcgi-pm-perl
# trial: a=1;b=2&a=3
# trial: x type=application/x-www-form-urlencoded post=name=%25C3%25A4%26empty=
# trial: upload type=multipart/form-data;boundary=XX post=--XX%0D%0AContent-Disposition:+form-data;+name=%22f%22;+filename=%22a.bin%22%0D%0AContent-Type:+x/y%0D%0A%0D%0A%00%01%FF%0D%0A--XX%0D%0AContent-Disposition:+form-data;+name=%22t%22%0D%0A%0D%0At%C3%A4xt%0D%0A--XX--%0D%0A
# trial: upload type=multipart/form-data;boundary=XX file=--XX%0D%0AContent-Disposition:+form-data;+name=%22f%22;+filename=%22b%22%0D%0A%0D%0Acontent%0D%0A--XX--%0D%0A
# trial: keywords+only
# trial: putdata type=text/plain post=raw+body
# trial: broken type=multipart/form-data;boundary=XX post=--YY
# trial: cookies HTTP_COOKIE=a%3D1;+b%3D2
# mask: (?i)(?:expires|date)[:=] ?(\w{3}, \d\d[ -]\w{3}[ -]\d{4} [\d:]+ GMT)
# CGI.pm with forms, uploads, cookies and its HTML.
use strict;
use warnings;
use CGI qw(:standard -utf8);
my $q = CGI->new;
my $c = $q->cookie(-name => 'seen', -value => { a => 1 }, -expires => '+1h', -path => '/');
print $q->header(-type => 'text/html', -charset => 'utf-8', -cookie => $c, -expires => 'now', -X_Own => 'yes');
binmode STDOUT, ':utf8';
print $q->start_html('Title & more'), "\n";
for my $name (sort $q->param) {
    my @values = $q->multi_param($name);
    print p(escapeHTML("$name = " . join ", ", @values)), "\n";
    if (my $f = $q->upload($name)) { local $/; my $content = <$f>; print p("file $values[0], " . length($content) . " bytes, " . $q->uploadInfo($values[0])->{'Content-Type'} // 'none'), "\n" }
}
print join("|", $q->keywords), " ", $q->request_method, " ", $q->content_type // 'none', " ", $q->cgi_error // 'no error', "\n";
print $q->cookie($_) // 'none', "\n" for qw(a b seen);
print $q->self_url, " ", $q->url(-path => 1), " ", $q->script_name, "\n";
print textfield('t', 'default'), popup_menu('m', ['x', 'y'], 'y'), checkbox_group(-name => 'c', -values => [1, 2]), "\n";
print CGI::unescapeHTML("&lt;&auml;&#8364;"), " ", CGI::escape("a b/\x{e4}"), " ", $q->Vars->{a} // 'no a', "\n";
print end_html;
