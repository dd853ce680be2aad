# The simplest application: a function (PEP 3333). It is called for each request
# with the request's variables, and with a function that begins the response.


def application(environ, start_response):
    # The body is a sequence of blocks of bytes, here of one.
    body = b"Hello, said a function.\n"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [body]
