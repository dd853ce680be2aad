#!/bin/sh
# Takes five seconds, and shows each line when it is there: the server passes
# output on as it is written.

cat <<'END'
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
for line in 1 2 3 4 5; do
    date -u '+<li>%H:%M:%S UTC</li>'
    sleep 1
done
echo '</ol>'
echo '<p>Done. <a href="/">All examples</a></p>'
