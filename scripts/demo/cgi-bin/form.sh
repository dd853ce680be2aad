#!/bin/sh
# Reads a text field of a form that was sent with GET or with POST.

most=16384 # bytes of form data

# decode turns + into a space and %XX into a byte. It writes octal escapes for
# printf, which are the only ones that every printf knows. A page can hold no
# NUL, so %00 becomes U+FFFD, the replacement character.
decode() {
    printf '%b' "$(tr + ' ' | LC_ALL=C sed 's/\\/%5C/g' | LC_ALL=C awk '
        BEGIN {
            for (n = 1; n < 256; n++)
                octal[sprintf("%02X", n)] = sprintf("\\0%03o", n)
            octal["00"] = "\\0357\\0277\\0275"
        }
        {
            n = split($0, piece, "%")
            printf "%s", piece[1]
            for (i = 2; i <= n; i++) {
                code = toupper(substr(piece[i], 1, 2))
                if (code in octal)
                    printf "%s%s", octal[code], substr(piece[i], 3)
                else
                    printf "%%%s", piece[i]
            }
        }')"
}

# A browser must take what was typed as text, never as markup.
escape() {
    LC_ALL=C sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' \
        -e 's/"/\&quot;/g' -e "s/'/\&#39;/g"
}

# With POST the data is on standard input, and CONTENT_LENGTH says how many
# bytes there are (RFC 3875, section 4.2). With GET it is behind the ? of the
# address. (POSIX does not list head -c, but every system has it.)
if [ "$REQUEST_METHOD" = POST ]; then
    how=POST
    if [ "${CONTENT_LENGTH:-0}" -gt "$most" ]; then
        printf 'Status: 413 Content Too Large\n'
        printf 'Content-Type: text/plain; charset=utf-8\n\n'
        printf 'Please send at most %s bytes.\n' "$most"
        exit
    fi
    data=$(head -c "${CONTENT_LENGTH:-0}")
else
    how=GET
    data=$QUERY_STRING
fi

name=$(printf '%s\n' "$data" | tr '&' '\n' | LC_ALL=C sed -n 's/^name=//p' |
    head -n 1 | decode | escape)

cat <<END
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Form</title>
<h1>Form</h1>
<form action="form.sh">
<p><label>Your name: <input name="name" value="$name"></label></p>
<p><button>Send with GET</button> <button formmethod="post">Send with POST</button></p>
</form>
END
if [ -n "$name" ]; then
    printf '<p>Hello, <strong>%s</strong>! Your name came with %s.</p>\n' "$name" "$how"
fi
echo '<p><a href="/">All examples</a></p>'
