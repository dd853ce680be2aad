#!/usr/bin/perl
# Receives a file from a form, and shows its name, size and SHA-256. The file
# may hold any bytes.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);    # comes with Perl; Debian: package perl, not perl-base

my $most = 16 * 1024 * 1024;       # bytes of form data

# A browser must take the file's name as text, never as markup.
my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#39;');

sub escape {
    my ($text) = @_;
    $text =~ s/([&<>"'])/$entity{$1}/g;
    return $text;
}

sub fail {
    my ($status, $sentence) = @_;
    print "Status: $status\nContent-Type: text/plain; charset=utf-8\n\n$sentence\n";
    exit;
}

# The form data (RFC 7578) is parts between delimiters. Each part is header
# lines, an empty line, and the value. A file is the part with a file name.
sub receive {
    my ($boundary) = ($ENV{CONTENT_TYPE} // '') =~ m{^multipart/form-data;.*\bboundary="?([^";]+)}i
        or fail('415 Unsupported Media Type', 'Please send multipart/form-data.');

    my $length = $ENV{CONTENT_LENGTH} || 0;
    fail('413 Content Too Large', "Please send at most $most bytes.") if $length > $most;
    read STDIN, my ($body), $length;
    fail('400 Bad Request', 'The file was cut short.') if length $body < $length;

    my (undef, @parts) = split /\r\n--\Q$boundary\E/, "\r\n$body", -1;
    fail('400 Bad Request', 'That is not the data of a form.')
        if @parts < 2 || pop(@parts) !~ /^--/;
    for (@parts) {
        my ($header, $content) = split /\r\n\r\n/, $_, 2;
        next if $header !~ /^Content-Disposition:.*;\s*filename="([^"]*)"/im;
        return ($1, $content // '');
    }
    fail('400 Bad Request', 'There is no file in the form.');
}

binmode STDIN;
binmode STDOUT;
my ($name, $content) = ($ENV{REQUEST_METHOD} // '') eq 'POST' ? receive() : ('', '');

print <<'END';
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Upload</title>
<h1>Upload</h1>
<form action="upload.pl" method="post" enctype="multipart/form-data">
<p><label>A file: <input type="file" name="file" required></label></p>
<p><button>Send</button></p>
</form>
END
if ($name ne '') {
    printf <<'END', escape($name), length $content, sha256_hex($content);
<dl>
<dt>Name</dt><dd>%s</dd>
<dt>Size</dt><dd>%d bytes</dd>
<dt>SHA-256</dt><dd><code>%s</code></dd>
</dl>
END
}
print qq{<p><a href="/">All examples</a></p>\n};
