#!/usr/bin/perl
# A FastCGI responder by FCGI.pm that does what responder.c does.
use strict;
use warnings;
use FCGI;
use IO::Handle;

my ($in, $out, $err, %env) = (IO::Handle->new, IO::Handle->new, IO::Handle->new);
my $request = FCGI::Request($in, $out, $err, \%env);

my %does = (
    echo => sub {
        print $out "Content-Type: application/octet-stream\r\nX-Method: $env{REQUEST_METHOD}\r\nX-Length: ",
            $env{CONTENT_LENGTH} // '(none)', "\r\n\r\n";
        print $out $_ while read $in, $_, 65536;
    },
    env => sub { print $out "Content-Type: text/plain\r\n\r\n", map {"$_=$env{$_}\n"} sort keys %env },
    long => sub {
        print $out "Content-Type: text/plain\r\n", (map {"X-$_: " . 'x' x 15000 . "\r\n"} 'A' .. 'D'), "\r\nlong\n";
    },
    stream => sub {
        print $out "Content-Type: text/plain\r\n\r\n";
        for my $n (1 .. 5) {
            print $out "line $n\n";
            $request->Flush;
            select undef, undef, undef, 0.02 until -e "$env{QUERY_STRING}/$n" or getppid == 1;
        }
    },
    304 => sub { print $out "Status: 304 Not Modified\r\nETag: \"abc\"\r\n\r\n" },
    stderr => sub {
        print $err 'e' x (1 << 20);
        print $out "Content-Type: text/plain\r\n\r\nhello\n";
    },
    die => sub { exit 3 },
    cut => sub {
        print $out "Content-Type: text/plain\r\n\r\nthe first half\n";
        $request->Flush;
        kill KILL => $$;
    },
    pid => sub { print $out "Content-Type: text/plain\r\n\r\n$$\n" },
);

while ($request->Accept >= 0) {
    my ($what) = $env{REQUEST_URI} =~ m{/([^/?]*)(?:\?|$)};
    ($does{$what} || sub { print $out "Content-Type: text/plain\r\n\r\nhello\n" })->();
    $request->Finish;
}
