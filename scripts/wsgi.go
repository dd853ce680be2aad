package scripts

import _ "embed"

//go:embed wsgi/run_wsgi.py
var wsgiShim []byte

// WSGIShim is a Python program that runs a WSGI application, as a FastCGI responder
// where its standard input is a listening socket and for one CGI request otherwise.
// It needs Python 3.8 and nothing besides its standard library. Called with --help it
// tells its arguments; it ends with status 2 if they are wrong, and as a responder with
// status 3, before it accepts a connection, if the application cannot be loaded.
//
// The caller must not change the bytes.
func WSGIShim() []byte { return wsgiShim }
