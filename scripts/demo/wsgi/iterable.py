# A class is an application as well: to call it makes an object, which is the
# response's body, because it can be iterated over. Each block is sent at once.
import time


class application:
    def __init__(self, environ, start_response):
        self.environ = environ
        self.start = start_response

    def __iter__(self):
        self.start("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        for n in range(1, 6):
            yield b"Line %d of 5, said an iterator.\n" % n
            time.sleep(0.2)

    def close(self):
        # The server calls this at the end, also if the browser has gone meanwhile.
        pass
