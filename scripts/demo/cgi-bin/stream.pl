#!/usr/bin/perl
# Takes five seconds, and shows each line when it is there: the server passes
# output on as it is written.
use strict;
use warnings;

$| = 1;    # write each print at once, instead of collecting a few kilobytes

print <<'END';
Content-Type: text/html; charset=utf-8
Cache-Control: no-store

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Streaming</title>
<h1>Streaming</h1>
<ol>
END
for (1 .. 5) {
    my ($second, $minute, $hour) = gmtime;
    printf "<li>%02d:%02d:%02d UTC</li>\n", $hour, $minute, $second;
    sleep 1;
}
print qq{</ol>\n<p>Done. <a href="/">All examples</a></p>\n};
