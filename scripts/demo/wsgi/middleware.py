# A middleware is an application that calls another. To change the response it
# hands on a start_response of its own: this one adds a header field.
import time

from function import application as inner


class Timed:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        begun = time.perf_counter()

        def start(status, headers, exc_info=None):
            spent = (time.perf_counter() - begun) * 1000
            return start_response(status, headers + [("X-Milliseconds", "%.3f" % spent)], exc_info)

        return self.app(environ, start)


application = Timed(inner)
