# Shows the whole environment as Python has it: CGI's variables, which are
# strings, and what the server adds, whose names begin with "wsgi.".


def application(environ, start_response):
    body = str(environ).encode("utf-8", "backslashreplace")
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [body]
