#!/bin/sh
# Shows what the server told this program: the CGI variables (RFC 3875, section
# 4.1), which are ordinary environment variables. (The shell may add PWD.)

# A browser must take the values as text, never as markup.
escape() {
    LC_ALL=C sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' \
        -e 's/"/\&quot;/g' -e "s/'/\&#39;/g"
}

cat <<'END'
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Environment</title>
<h1>Environment</h1>
<pre>
END
env | LC_ALL=C sort | escape
cat <<'END'
</pre>
<p><a href="/">All examples</a></p>
END
