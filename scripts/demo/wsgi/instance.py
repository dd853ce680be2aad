# An object that can be called is an application which remembers things. Several
# threads may call it at once, so what it remembers has a lock. Other processes
# have their own.
import threading


class Counter:
    def __init__(self):
        self.lock = threading.Lock()
        self.visits = 0

    def __call__(self, environ, start_response):
        with self.lock:
            self.visits += 1
            visits = self.visits
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"Visit number %d, said an instance. Reload the page.\n" % visits]


application = Counter()
