# Chooses by PATH_INFO, the part of the address behind the application's own,
# which is SCRIPT_NAME. Links are made of that, so they hold wherever it stands.
import html

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
<title>Router</title>
<h1>Router</h1>
<p>%s</p>
<p><a href="%s/">start</a> <a href="%s/hello/Zo%%C3%%AB">hello</a> <a href="%s/nowhere">nowhere</a></p>
<p><a href="/">All examples</a></p>
"""


def index(environ, rest):
    return "200 OK", "Choose one."


def hello(environ, rest):
    return "200 OK", "Hello, <strong>%s</strong>!" % html.escape(rest)


def missing(environ, rest):
    return "404 Not Found", "Nothing is at <code>%s</code>." % html.escape(rest)


ROUTES = [("/hello/", hello)]


def application(environ, start_response):
    # Strings of the environment hold bytes, one in each character. These are UTF-8.
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    view, rest = missing, path
    if path in ("", "/"):
        view, rest = index, ""
    for prefix, choice in ROUTES:
        if path.startswith(prefix):
            view, rest = choice, path[len(prefix):]
    status, text = view(environ, rest)
    here = html.escape(environ["SCRIPT_NAME"])
    body = (PAGE % (text, here, here, here)).encode("utf-8")
    start_response(status, [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
