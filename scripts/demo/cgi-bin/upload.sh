#!/bin/sh
# Receives one file from a form, and shows its name, size and checksum. The
# file may hold any bytes: none of them passes through a shell variable.

most=$((16 * 1024 * 1024)) # bytes of form data
cr=$(printf '\r')

# A browser must take the file's name as text, never as markup.
escape() {
    LC_ALL=C sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' \
        -e 's/"/\&quot;/g' -e "s/'/\&#39;/g"
}

# fail STATUS SENTENCE
fail() {
    printf 'Status: %s\nContent-Type: text/plain; charset=utf-8\n\n%s\n' "$1" "$2"
    exit
}

# The form data (RFC 7578) is a delimiter line, header lines, an empty line,
# the file, and the delimiter again. This form has no other field, so all that
# does not belong to the frame is the file. (POSIX does not list head -c, but
# every system has it.)
receive() {
    top=
    while IFS= read -r line; do
        top="$top$line
"
        [ "$line" != "$cr" ] || break
    done
    delimiter=${top%%"$cr"*}

    # Around the last delimiter: a line end before it, "--" and another after.
    size=$((CONTENT_LENGTH - $(printf '%s' "$top" | wc -c) - ${#delimiter} - 6))
    [ "$size" -ge 0 ] || fail '400 Bad Request' 'That is not the data of a form.'

    name=$(printf '%s' "$top" | LC_ALL=C sed -n \
        's/^[Cc]ontent-[Dd]isposition:.*; *filename="\([^"]*\)".*/\1/p' | escape)

    # cksum prints the checksum and how many bytes it has seen.
    set -- $(head -c "$size" | cksum)
    [ "$2" -eq "$size" ] || fail '400 Bad Request' 'The file was cut short.'
    checksum=$1
}

name=
if [ "$REQUEST_METHOD" = POST ]; then
    case $CONTENT_TYPE in
    multipart/form-data*) ;;
    *) fail '415 Unsupported Media Type' 'Please send multipart/form-data.' ;;
    esac
    [ "${CONTENT_LENGTH:-0}" -le "$most" ] ||
        fail '413 Content Too Large' "Please send at most $most bytes."
    receive
fi

cat <<'END'
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Upload</title>
<h1>Upload</h1>
<form action="upload.sh" method="post" enctype="multipart/form-data">
<p><label>A file: <input type="file" name="file" required></label></p>
<p><button>Send</button></p>
</form>
END
if [ -n "$name" ]; then
    cat <<END
<dl>
<dt>Name</dt><dd>$name</dd>
<dt>Size</dt><dd>$size bytes</dd>
<dt>cksum</dt><dd><code>$checksum</code></dd>
</dl>
END
fi
echo '<p><a href="/">All examples</a></p>'
