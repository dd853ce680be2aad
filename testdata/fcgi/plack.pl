#!/usr/bin/perl
# Plack's own suite of tests for servers, whole. The application is a FastCGI responder on
# the first port; the requests go to what listens on the second, and stands in front of it.
use strict;
use warnings;
use Plack::Handler::FCGI;
use Plack::Test::Suite;
use Test::More;

my ($responder, $front) = @ARGV;

Plack::Test::Suite->run_server_tests(
    sub {
        my ($port, $app) = @_;
        Plack::Handler::FCGI->new(listen => ["127.0.0.1:$port"], manager => undef)->run($app);
    },
    $responder,
    $front,
);
done_testing;
