#!/usr/bin/perl
# Shows what the server told this program: the CGI variables (RFC 3875, section
# 4.1), which are ordinary environment variables.
use strict;
use warnings;

# A browser must take the values as text, never as markup.
my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#39;');

sub escape {
    my ($text) = @_;
    $text =~ s/([&<>"'])/$entity{$1}/g;
    return $text;
}

my $variables = join "\n", map { escape("$_=$ENV{$_}") } sort keys %ENV;

print <<"END";
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Environment</title>
<h1>Environment</h1>
<pre>
$variables
</pre>
<p><a href="/">All examples</a></p>
END
