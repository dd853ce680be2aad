#!/usr/bin/perl
# Reads a text field of a form that was sent with GET or with POST.
use strict;
use warnings;

my $most = 16384;    # bytes of form data

# decode turns + into a space and %XX into a byte. A page can hold no NUL, so
# %00 becomes U+FFFD, the replacement character.
sub decode {
    my ($text) = @_;
    $text =~ tr/+/ /;
    $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    $text =~ s/\0/\xEF\xBF\xBD/g;
    return $text;
}

# A browser must take what was typed as text, never as markup.
my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#39;');

sub escape {
    my ($text) = @_;
    $text =~ s/([&<>"'])/$entity{$1}/g;
    return $text;
}

# Text stays as the bytes in which it came: UTF-8 from a browser, and so the
# page is UTF-8 as well.
binmode STDIN;
binmode STDOUT;

# With POST the data is on standard input, and CONTENT_LENGTH says how many
# bytes there are (RFC 3875, section 4.2). With GET it is behind the ? of the
# address.
my $how  = ($ENV{REQUEST_METHOD} // '') eq 'POST' ? 'POST' : 'GET';
my $data = $ENV{QUERY_STRING} // '';
if ($how eq 'POST') {
    my $length = $ENV{CONTENT_LENGTH} || 0;
    if ($length > $most) {
        print "Status: 413 Content Too Large\n";
        print "Content-Type: text/plain; charset=utf-8\n\n";
        print "Please send at most $most bytes.\n";
        exit;
    }
    read STDIN, $data, $length;
}

my ($field) = $data =~ /(?:^|&)name=([^&]*)/;
my $name = escape(decode($field // ''));

print <<"END";
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Form</title>
<h1>Form</h1>
<form action="form.pl">
<p><label>Your name: <input name="name" value="$name"></label></p>
<p><button>Send with GET</button> <button formmethod="post">Send with POST</button></p>
</form>
END
print "<p>Hello, <strong>$name</strong>! Your name came with $how.</p>\n" if $name ne '';
print qq{<p><a href="/">All examples</a></p>\n};
