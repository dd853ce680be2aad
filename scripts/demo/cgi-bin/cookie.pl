#!/usr/bin/perl
# Counts your visits. The number is kept by your browser, in a cookie.
use strict;
use warnings;

# A cookie comes from outside like everything else: only a number will do.
my ($visits) = ($ENV{HTTP_COOKIE} // '') =~ /(?:^|; *)visits=([1-9][0-9]{0,8})(?:;|$)/;
$visits = ($visits // 0) + 1;

print <<"END";
Content-Type: text/html; charset=utf-8
Cache-Control: no-store
Set-Cookie: visits=$visits; Path=/cgi-bin/; Max-Age=86400; HttpOnly; SameSite=Lax

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Cookie</title>
<h1>Cookie</h1>
<p>Visits of this browser today: <strong>$visits</strong></p>
<p><a href="cookie.pl">Once more</a> or <a href="/">all examples</a></p>
END
