#!/usr/bin/python3
# Takes five seconds, and shows each line when it is there: the server passes
# output on as it is written.
import time

# flush=True writes at once, instead of collecting a few kilobytes.
print("""\
Content-Type: text/html; charset=utf-8
Cache-Control: no-store

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Streaming</title>
<h1>Streaming</h1>
<ol>""", flush=True)
for line in range(5):
    print(time.strftime("<li>%H:%M:%S UTC</li>", time.gmtime()), flush=True)
    time.sleep(1)
print('</ol>\n<p>Done. <a href="/">All examples</a></p>')
