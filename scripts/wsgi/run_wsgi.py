#!/usr/bin/env python3
# A constant, because -OO removes docstrings.
_USAGE = """\
Runs a WSGI application (PEP 3333): as a FastCGI responder where standard input is a
listening socket, and otherwise for one CGI request.

usage: run_wsgi.py [options] APPLICATION

APPLICATION is a file or a module, and what it calls the application ("application" if
that is left out) or the function that makes one:

  app.py   app.py:name   app.py:create_app()   app.py:create_app("production")
  package.module   package.module:name   package.module:create_app()

A file's folder comes first on the module search path, for a module the working
directory does; for a file in a package it is the folder that holds the package.

options:
  --chdir DIR         go to this folder first
  --script-name PATH  the path that the application is mounted at ("" for the root),
                      for web servers that tell it wrongly or not at all
  --show-errors       answer a failure with its traceback, for development
  --compile FILE.pyc  write this program into FILE, compiled, and do nothing else: Python
                      runs that as it does this one, and starts it in half the time
  --sources FILE      write into FILE what was imported, a path on each line: the files
                      outside of the Python installation; again when there are more

options for FastCGI:
  --threads N         serve N requests at once (1)
  --multiprocess      there are other processes that serve the same application
  --timeout SECONDS   how long the web server may make no progress in the middle of a
                      request (300); 0 for ever

It serves until SIGTERM or SIGINT, lets the requests end that have begun, and exits with
status 0; with 2 if the arguments are wrong, with 3 if the application cannot be loaded.
"""

# Nothing else that takes its time to import: a CGI program starts for each request.
import io
import os
import stat
import sys

# ---------------------------------------------------------------------- PEP 3333: what
# both lives have in common. Checks raise AssertionError, as in wsgiref, but do not
# vanish under -O.

_NO_TOKEN = dict.fromkeys(b"!#$%&'*+-.^_`|~0123456789"
                          b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_HOP_BY_HOP = frozenset((
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
    "trailer", "trailers", "transfer-encoding", "upgrade"))

# What was checked once and may come again, by what the application gave. Bounded.
_statuses = {}
_lines = {}
_REMEMBERED = 256  # entries of each

_BLOCK = 65528  # bytes: the most of a FastCGI record that is a multiple of 8


class Disconnected(ConnectionError):
    """The client or the web server has gone, or makes no progress."""


def _status_line(status):
    """The CGI line for a status that start_response was given (RFC 3875 6.3.3)."""
    if not isinstance(status, str):
        raise AssertionError("status is %r, want a str such as '200 OK'" % (status,))
    code = status[:3]
    if not (len(code) == 3 and code.isascii() and code.isdigit() and code >= "200" and status[3:4] == " ") or _has_controls(status):
        raise AssertionError("status is %r, want three digits from 200, a space and a reason" % status)
    line = _latin1("Status: " + status, "status") + b"\r\n"
    if len(_statuses) >= _REMEMBERED:
        _statuses.clear()
    if len(line) < 256:
        _statuses[status] = line
    return line


def _has_controls(text):
    return not text.isprintable() and any(c < " " or c == "\x7f" for c in text)


def _latin1(text, what):
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise AssertionError("%s has a character beyond latin-1: %r" % (what, text)) from None


def _header(item):
    """The name in lower case, and the line, of a header that start_response was given."""
    if not isinstance(item, tuple) or len(item) != 2:
        raise AssertionError("header is %r, want a tuple of name and value" % (item,))
    name, value = item
    if not isinstance(name, str) or not isinstance(value, str):
        raise AssertionError("header is %r, want name and value as str" % (item,))
    if not name or name.translate(_NO_TOKEN):  # what is left when a token's characters are gone
        raise AssertionError("header has the name %r" % name)
    if _has_controls(value):
        raise AssertionError("header %s has control characters in its value %r" % (name, value))
    lower = name.lower()
    if lower == "status":
        raise AssertionError("header Status is CGI's, want the status as the first argument")
    if lower in _HOP_BY_HOP:
        raise AssertionError("header %s is hop-by-hop, which is the server's business" % name)
    return lower, _latin1(name + ": " + value + "\r\n", "header " + name)


class FileWrapper:
    """wsgi.file_wrapper: a file as an iterable of blocks, from its position on."""

    def __init__(self, filelike, blksize=8192):
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        block = self.filelike.read(self.blksize)
        if block:
            return block
        raise StopIteration

    def extent(self):
        """Descriptor, position and bytes to the end, or None if this is no plain file."""
        if not isinstance(self.filelike, (io.BufferedReader, io.FileIO, io.BufferedRandom)):
            return None
        try:
            fd = self.filelike.fileno()
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return None
            at = self.filelike.tell()
        except (OSError, ValueError):
            return None
        return fd, at, max(0, status.st_size - at)


class Response:
    """What becomes of one request. A subclass sends:

    emit(data)    sends some of the response, its header first; raises Disconnected
    end(data)     sends the last of it, and says that it is complete
    abort()       makes the web server see that the response is cut short
    left()        raises Disconnected if it is known that the client is not there
    """

    show_errors = False

    called = False  # start_response was
    status = None   # the line
    lines = None    # header lines, but for Content-Length
    length = None   # the Content-Length
    rest = None     # of it, as far as it was not sent
    sent = False    # the header was
    held = None     # the whole response, not sent yet
    failed = None   # the exception

    def __init__(self, environ, errors):
        self.environ = environ  # which is the application's to change
        self.errors = errors
        self.head = self.bodiless = environ["REQUEST_METHOD"] == "HEAD"  # C32

    def start_response(self, status, headers, exc_info=None):
        if exc_info:
            try:
                if self.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it refers to this frame
        elif self.called:
            raise AssertionError("start_response was called before, and this time without exc_info")
        self.called = True
        self.status = None  # C24: should this call fail
        line = _statuses.get(status) if type(status) is str else None
        if line is None:
            line = _status_line(status)
        if type(headers) is not list:
            raise AssertionError("headers are a %s, want a list" % type(headers).__name__)
        self.length = None
        lines = []
        for item in headers:
            try:
                known = _lines.get(item)
            except TypeError:  # not hashable
                known = None
            if known is None:
                known = self._new_line(item)
            lines.append(known)
        self.lines = lines
        self.status = line
        return self.write

    def _new_line(self, item):
        name, line = _header(item)
        if name == "content-length":
            value = item[1]
            if not (value.isascii() and value.isdigit()):
                raise AssertionError("header Content-Length is %r, want digits" % value)
            if self.length not in (None, int(value)):
                raise AssertionError("header Content-Length is %s, and again %s" % (self.length, value))
            self.length = int(value)
            return b""
        if len(line) < 256:
            if len(_lines) >= _REMEMBERED:
                _lines.clear()
            _lines[item] = line
        return line

    def _header_block(self):
        """The header for what is sent first, which decides about the length."""
        self.sent = True
        status = self.status
        if status[8:11] in (b"204", b"304"):  # C33
            self.bodiless = True
            self.length = None
        if self.length is None:
            return b"%b%b\r\n" % (status, b"".join(self.lines))
        if not self.bodiless:
            self.rest = self.length
        return b"%b%bContent-Length: %d\r\n\r\n" % (status, b"".join(self.lines), self.length)

    def write(self, block):
        """The callable that start_response returns."""
        if not isinstance(block, bytes):
            raise AssertionError("write was given a %s, want bytes" % type(block).__name__)
        if self._put(block):
            raise AssertionError("write went beyond the Content-Length of %d" % self.length)

    def _put(self, block):
        """Sends a block of the body. Returns whether it had more than the Content-Length."""
        if not block:
            return False
        if self.status is None:
            raise AssertionError("the body begins before start_response was called")
        head = b"" if self.sent else self._header_block()
        if self.bodiless:
            if head:
                self.emit(head)
            return False
        beyond = False
        if self.rest is not None:
            if len(block) > self.rest:
                block = block[:self.rest]
                beyond = True
            self.rest -= len(block)
        if head:
            block = head + block
        if block:
            self.emit(block)
        return beyond

    def run(self, application):
        """Calls the application and sends what it answers. Never raises."""
        result = None
        try:
            result = application(self.environ, self.start_response)
            self._respond(result)
        except BaseException as e:  # SystemExit is as much a failure of a request
            self._fail(e)
        if _forked:
            _leave(self.failed)
        if type(result) is not list:
            self._close(result)
        try:
            self._finish()
        except BaseException as e:
            self._fail(e)
            self.abort()

    def _close(self, result):
        """Calls close() if there is one, whatever has become of the response (C28)."""
        try:
            close = getattr(result, "close", None)
            if close is None:
                return
            try:
                self._flush()  # before what may take its time
            except Disconnected as e:
                self._fail(e)
            close()
        except BaseException as e:  # the response stands
            _print_exception(e, self.errors)

    def _respond(self, result):
        kind = type(result)
        if kind is list or kind is tuple:
            self._respond_list(result)
            return
        if kind is FileWrapper:
            self._respond_file(result)
            return
        first = True
        for block in result:
            if not isinstance(block, bytes):
                self._not_bytes(result, block)
            if block and not self.sent and self.length is None and self._is_single(result):
                self.length = len(block)
            if not first:
                self.left()
            first = False
            self._put(block)
            if self.sent and (self.bodiless or self.rest == 0):
                break  # PEP 3333: stop when enough was sent
        if not self.sent:
            self._hold(b"")

    def _is_single(self, result):
        """PEP 3333, Handling the Content-Length Header; C29."""
        if self.bodiless:
            return False
        try:
            return len(result) == 1
        except Exception:
            return False

    def _not_bytes(self, result, block):
        if isinstance(result, (bytes, str)):
            raise AssertionError("the application returned a %s, want a list of bytes" % type(result).__name__)
        raise AssertionError("the application gave a %s for its body, want bytes" % type(block).__name__)

    def _respond_list(self, blocks):
        size = 0
        for block in blocks:
            if not isinstance(block, bytes):
                self._not_bytes(blocks, block)
            size += len(block)
        if self.sent:  # by write
            for block in blocks:
                self._put(block)
            return
        if size <= 16 * _BLOCK or len(blocks) == 1:
            self._hold(blocks[0] if len(blocks) == 1 else b"".join(blocks))
            return
        if self.length is None and not self.bodiless:
            self.length = size
        for block in blocks:
            self._put(block)

    def _hold(self, body):
        """Makes body, all there is, the response, which is sent later."""
        status = self.status
        if status is None:
            raise AssertionError("the application did not call start_response")
        if self.bodiless:
            body = b""
        elif self.length is None:
            self.length = len(body)
        elif len(body) < self.length and status[8:11] not in (b"204", b"304"):
            raise AssertionError("Content-Length is %d, but the body has %d bytes" % (self.length, len(body)))
        elif len(body) > self.length:
            body = body[:self.length]
        head = self._header_block()
        self.rest = None
        self.held = head if self.bodiless else head + body

    def _respond_file(self, file):
        extent = file.extent()
        if extent is None:
            for block in file:
                if not isinstance(block, bytes):
                    self._not_bytes(file, block)
                self._put(block)
                if self.sent and (self.bodiless or self.rest == 0):
                    return
            if not self.sent:
                self._hold(b"")
            return
        fd, at, size = extent
        if self.status is None:
            raise AssertionError("the application did not call start_response")
        if not self.sent and self.length is None and not self.bodiless:
            self.length = size
        head = b"" if self.sent else self._header_block()
        if self.bodiless:
            size = 0
        elif self.rest is not None:
            size = min(size, self.rest)
        self.emit_file(head, fd, at, size)
        if self.rest is not None:
            self.rest -= size

    def emit_file(self, head, fd, at, size):
        """Sends size bytes of the file from the position on."""
        while True:
            block = os.pread(fd, min(size, 2 * _BLOCK - len(head)), at) if size else b""
            if size and not block:
                raise AssertionError("the file got shorter while it was sent")
            at += len(block)
            size -= len(block)
            if head or block:
                self.emit(head + block)
            head = b""
            if not size:
                return
            self.left()

    def _flush(self):
        if self.held is not None:
            held, self.held = self.held, None
            self.emit(held)

    def _fail(self, e):
        """Takes note of an exception, the first of which decides."""
        if not isinstance(e, Disconnected):
            _print_exception(e, self.errors)
        if self.failed is None:
            self.failed = e

    def _finish(self):
        failed = self.failed
        if failed is None:
            if self.held is not None:
                self.end(self.held)
            elif self.rest:
                self._complain("Content-Length is %d, but the body has %d bytes" % (self.length, self.length - self.rest))
                self.abort()
            else:
                self.end(b"")
        elif isinstance(failed, Disconnected):
            self.abort()
        elif not self.sent:
            self.end(self._error_page(failed))
        elif self.rest == 0 or self.bodiless:
            self.end(b"")  # nothing is missing
        else:
            self.abort()

    def _complain(self, sentence):
        self.errors.write(sentence + "\n")

    def _error_page(self, e):
        """C31: nothing of what happened, unless that is wanted."""
        body, charset = b"Internal Server Error\n", b""
        if self.show_errors:
            text = io.StringIO()
            _print_exception(e, text)
            body += b"\n" + text.getvalue().encode("utf-8", "backslashreplace")
            charset = b"; charset=utf-8"
        head = (b"Status: 500 Internal Server Error\r\nContent-Type: text/plain%b\r\n"
                b"Content-Length: %d\r\n\r\n" % (charset, len(body)))
        return head if self.head else head + body


# A child that the application forks holds none of the descriptors that the protocol
# goes over, and ends where it would come back into this program.
_forked = False
_not_for_children = set()  # of what has a method close


def _after_fork():
    global _forked
    _forked = True
    for file in _not_for_children:
        file.close()


os.register_at_fork(after_in_child=_after_fork)


def _leave(e):
    """Ends a child in the place of sys.exit, if that was what raised e."""
    code = e.code if isinstance(e, SystemExit) else e and 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else int(code is not None))


def _print_exception(e, to):
    """Prints the traceback without the frames that are this program's."""
    import traceback
    tb = e.__traceback__
    while tb is not None:
        file = tb.tb_frame.f_code.co_filename
        if file != main.__code__.co_filename and "importlib" not in file:
            break
        tb = tb.tb_next
    try:
        to.write("".join(traceback.format_exception(type(e), e, tb)))
        to.flush()
    except (OSError, ValueError):
        pass  # there is nobody to be told


def _finish_environ(environ):
    """Makes CGI variables what PEP 3333 asks for, in place."""
    get = environ.get
    for name in ("CONTENT_LENGTH", "CONTENT_TYPE", "REMOTE_USER", "AUTH_TYPE"):
        if get(name) == "":
            del environ[name]  # A02, C05: absent, not empty
    for name in ("HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_PROXY"):
        if name in environ:
            del environ[name]  # C04, B77
    if get("HTTPS", "").lower() in ("on", "1", "yes") or get("REQUEST_SCHEME") == "https":
        environ["wsgi.url_scheme"] = "https"
    script, path = environ["SCRIPT_NAME"], environ["PATH_INFO"]
    if _mount is not None:
        script, path = _mounted(script + path)
    if script[-1:] == "/":  # C03
        script = script[:-1]
        if path[:1] != "/":
            path = "/" + path
    if path[:1] != "/" and (path or not script):
        path = "/" + path
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = script, path
    if not environ["SERVER_NAME"]:
        environ["SERVER_NAME"] = "localhost"
    if not environ["SERVER_PORT"]:
        environ["SERVER_PORT"] = "443" if environ["wsgi.url_scheme"] == "https" else "80"


_mount = None  # --script-name


def _mounted(path):
    """SCRIPT_NAME and PATH_INFO of a path, for --script-name."""
    if path == _mount or path.startswith(_mount + "/"):
        return _mount, path[len(_mount):]
    return "", path


def _defaults(threads, processes, once):
    """What every environ has, unless the web server says something else."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "",
        "SERVER_PROTOCOL": "HTTP/1.0",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": threads,
        "wsgi.multiprocess": processes,
        "wsgi.run_once": once,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


def _content_length(environ):
    """CONTENT_LENGTH as a number, None if there is none; ValueError if it is no number."""
    text = environ.get("CONTENT_LENGTH")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ValueError("CONTENT_LENGTH is %r" % text)
    return int(text)


def _short(missing):
    return Disconnected("the client's request ended %d bytes before its body did" % missing)  # C14


_LINGER = 2.0  # seconds for the rest of a request that was answered early


def _linger(sock, most):
    """Lets the web server send what is left of a body that nobody wanted: a socket that
    is closed before may lose the response (B68)."""
    import select
    import socket
    import time
    until = time.monotonic() + _LINGER
    try:
        sock.shutdown(socket.SHUT_WR)
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        while most > 0:
            left = until - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                return
            n = len(sock.recv(65536))
            if not n:
                return
            most -= n
    except OSError:
        pass


# ------------------------------------------------------------------------------- CGI

class CGIBody(io.RawIOBase):
    """Standard input, as far as CONTENT_LENGTH goes (RFC 3875 4.2)."""

    def __init__(self, file, length):
        self.file = file
        self.rest = length

    def readable(self):
        return True

    def readinto(self, b):
        view = memoryview(b)[:self.rest]
        if not len(view):
            return 0
        n = self.file.readinto(view)
        if not n:
            raise _short(self.rest)
        self.rest -= n
        return n


class CGIResponse(Response):
    """A response on an unbuffered file."""

    aborted = False
    closing = False  # close() is called, or was

    def __init__(self, environ, errors, out):
        Response.__init__(self, environ, errors)
        self.out = out

    def until_told(self):
        """Has SIGTERM, by which a web server says that nobody waits any more, end the
        application by an exception, so that close() is called (C28). Once: what it does
        then, and close() itself, is bounded by the signal that follows."""
        import _signal

        def told(*_):
            _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
            if not (self.closing or _forked):
                raise Disconnected("the web server has ended the request")
        _signal.signal(_signal.SIGTERM, told)

    def _close(self, result):
        self.closing = True
        Response._close(self, result)

    def emit(self, data):
        view = memoryview(data)
        while len(view):
            try:
                if _forked:
                    raise BrokenPipeError
                view = view[self.out.write(view):]
            except OSError as e:
                raise Disconnected("the response cannot be written: %s" % e) from None

    def emit_file(self, head, fd, at, size):
        self.emit(head)
        try:
            while size and not _forked:
                n = os.sendfile(self.out.fileno(), fd, at, min(size, 1 << 30))
                if not n:
                    break
                at += n
                size -= n
        except (OSError, AttributeError, ValueError) as e:
            if isinstance(e, BrokenPipeError):
                raise Disconnected("the response cannot be written") from None
        if size:  # no sendfile for this kind of output
            Response.emit_file(self, b"", fd, at, size)

    def end(self, data):
        self.emit(data)

    def abort(self):
        self.aborted = True

    def left(self):
        pass  # a write will tell


def cgi_environ(variables):
    """environ of a CGI program's variables, which are bytes."""
    environ = _defaults(False, True, True)  # C07
    for name, value in variables.items():
        environ[name.decode("latin-1")] = value.decode("latin-1")  # C05
    _finish_environ(environ)
    return environ


def run_cgi(spec):
    """Answers one request and returns the exit status."""
    stdin = io.FileIO(os.dup(0), "rb")
    out = io.FileIO(os.dup(1), "wb")
    for file in (stdin, out):
        os.set_blocking(file.fileno(), True)
        _not_for_children.add(file)
    _detach_standard_files()
    environ = cgi_environ(os.environb)
    environ["wsgi.errors"] = sys.stderr
    response = CGIResponse(environ, sys.stderr, out)
    try:
        body = CGIBody(stdin, _content_length(environ) or 0)
        environ["wsgi.input"] = io.BufferedReader(body, 65536)
    except ValueError as e:
        response._complain(str(e))
        response.end(b"Status: 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        return 0
    try:
        application = load(spec)
    except BaseException as e:
        write_sources(e)
        response._fail(e)
        response._finish()
        return 0
    response.until_told()
    response.run(application)
    write_sources()
    if response.aborted:
        if isinstance(response.failed, Disconnected):
            print("run_wsgi: %s" % response.failed, file=sys.stderr)
        _die()
    if body.rest and stat.S_ISSOCK(os.fstat(stdin.fileno()).st_mode):
        import socket
        _linger(socket.socket(fileno=os.dup(stdin.fileno())), body.rest)
    return 0


def _die():
    """Ends this process by a signal: a CGI program has no other way to say that its
    response is cut short (A98)."""
    import signal
    sys.stderr.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _detach_standard_files():
    """What the application reads from standard input is nothing, and what it or its
    children print goes to standard error: neither may get into the protocol."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)


def _open_standard_files():
    """FastCGI 2.2 allows 1 and 2 to be closed; nothing else shall get these numbers."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:
                os.dup2(null, fd)
                os.close(null)
            else:
                os.set_inheritable(fd, True)
    for name, fd in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, "w", encoding="utf-8", closefd=False))
        getattr(sys, name).reconfigure(line_buffering=True, errors="backslashreplace")


# --------------------------------------------------------------------------- FastCGI

# Records begin with eight bytes (FastCGI 3.3):
# version=1 | type | request id (2) | content length (2) | padding length | 0
_BEGIN, _ABORT, _END, _PARAMS, _STDIN, _STDOUT, _STDERR = 1, 2, 3, 4, 5, 6, 7
_GET_VALUES, _GET_VALUES_RESULT, _UNKNOWN_TYPE = 9, 10, 11
_COMPLETE, _CANT_MPX, _OVERLOADED, _UNKNOWN_ROLE = 0, 1, 2, 3

_MOST_PARAMS = 1 << 20      # bytes of one request's variables (B71)
_MOST_CONNECTIONS = 512     # at the limit the one idle longest makes room
_TURNS = 16                 # requests of one connection before others are looked for
_LINGER_BYTES = 16 << 20    # of a body that nobody wanted
_DRAIN = 1.0                # seconds for the first request of connections that wait at the end
_PATIENCE = 20              # milliseconds that a connection is listened to after a response

_ZEROS = tuple(bytes(n) for n in range(8))


class Idle(Exception):
    """Nothing more has come, and no request is complete."""


class Errors:
    """wsgi.errors: text that goes to the web server's log, as STDERR records, and when
    the request is over to standard error. Takes any str and never fails."""

    __slots__ = ("conn", "id", "text")

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, conn, id):
        self.conn = conn
        self.id = id
        self.text = ""

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("wsgi.errors takes str, not %s" % type(text).__name__)
        self.text += text
        if "\n" in text or len(self.text) > 8192:
            self.flush()
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        text, self.text = self.text, ""
        if not text:
            return
        conn = self.conn
        if conn is not None and not _forked:
            try:
                conn.send_stream(_STDERR, self.id, text.encode("utf-8", "backslashreplace"), self)
                return
            except Disconnected:
                pass
        sys.stderr.write(text)

    def isatty(self):
        return False


class ProtocolError(Exception):
    """What the web server sent is not FastCGI."""


def _record(kind, id, content):
    pad = -len(content) & 7
    return _pack(1, kind, id, len(content), pad) + content + _ZEROS[pad]


def _stream(kind, id, data):
    """Records that hold data; the largest have no padding."""
    n = len(data)
    if n <= _BLOCK:
        return _record(kind, id, data)
    whole = _pack(1, kind, id, _BLOCK, 0)
    parts = []
    at = 0
    while n - at > _BLOCK:
        parts += (whole, data[at:at + _BLOCK])
        at += _BLOCK
    parts.append(_record(kind, id, data[at:]))
    return b"".join(parts)


def _pairs(content):
    """Name-value pairs (FastCGI 3.4), one by one: name and value as str of latin-1
    characters, and the bytes of both."""
    text = content.decode("latin-1")
    at, end = 0, len(content)
    while at < end:
        try:
            n, v, name = _lengths(content, at)
        except IndexError:
            n, v, name = end, end, end
        value = name + n
        after = value + v
        if after > end:
            raise ProtocolError("a name-value pair is cut short")
        yield text[name:value], text[value:after], content[at:after]
        at = after


def _lengths(content, at):
    """The lengths of the name and the value of a pair, and where the name begins."""
    lengths = []
    for _ in ("name", "value"):
        n = content[at]
        if n < 128:
            at += 1
        else:
            n = int.from_bytes(content[at:at + 4], "big") & 0x7FFFFFFF
            at += 4
        lengths.append(n)
    return lengths[0], lengths[1], at


class Params:
    """Makes environ of a request's PARAMS.

    Most of a request's variables are the same as in the one before, so runs of pairs are
    remembered with the name that they follow: where the bytes are the same, what they
    mean is copied and not parsed. Each learn compares two requests. A thread that still
    uses older runs does no harm: bytes are always compared.
    """

    def __init__(self, defaults):
        self.defaults = defaults
        self.start = b"", defaults  # the run at the beginning, and environ after it
        self.runs = {}              # name: the run that follows, as bytes and as dict
        self.varies = set()         # names of what was not the same in two requests
        self.before = b""           # the request that the next is compared with
        self.countdown = 1          # requests until that
        self.interval = 16

    def environ(self, content):
        begin, environ = self.start
        if content.startswith(begin):
            environ = environ.copy()
            at = len(begin)
        else:
            environ = self.defaults.copy()
            at = 0
        text = content.decode("latin-1")
        end = len(content)
        runs = self.runs
        try:
            while at < end:
                n = content[at]
                v = content[at + 1]
                if n < 128 > v:
                    at += 2
                else:
                    n, v, at = _lengths(content, at)
                middle = at + n
                name = text[at:middle]
                at = middle + v
                value = text[middle:at]
                if not name or "\0" in value or "\0" in name or "=" in name:  # B09
                    raise ProtocolError("there is a variable %r with the value %r" % (name, value))
                if name in environ and name[:5] == "HTTP_":
                    value = environ[name] + ("; " if name == "HTTP_COOKIE" else ", ") + value  # RFC 3875 4.1.18
                environ[name] = value
                if name in runs:
                    run, variables = runs[name]
                    if content.startswith(run, at):
                        environ.update(variables)
                        at += len(run)
        except IndexError:
            at = -1
        if at != end:
            raise ProtocolError("a name-value pair is cut short")
        self.countdown -= 1
        if self.countdown <= 0:
            self._learn(content)
        _finish_environ(environ)
        return environ

    def _learn(self, content):
        """Remembers this request, or what it has in common with the one remembered."""
        self.countdown = 1
        if len(content) > 16384:
            return
        if not self.before:
            self.before = content
            return
        before = {name: pair for name, _, pair in _pairs(self.before)}
        self.before = b""
        self.countdown = self.interval  # what is common to all requests is soon known
        self.interval = min(2 * self.interval, 1024)
        if len(self.varies) > 1000:
            self.varies.clear()
        runs, after, run, variables = {}, "", [], {}
        for name, value, pair in _pairs(content):
            if before.get(name) != pair:
                self.varies.add(name)
            if name not in self.varies:
                run.append(pair)
                variables[name] = value
                continue
            runs[after] = b"".join(run), variables
            after, run, variables = name, [], {}
        runs[after] = b"".join(run), variables
        begin, variables = runs.pop("")
        self.start = begin, dict(self.defaults, **variables)
        self.runs = {name: run for name, run in runs.items() if run[1]}


class Connection:
    """A connection from a web server, for one thread at a time. It carries one request
    after the other.

    Until a request's variables are complete, next can raise Idle: the state is kept, and
    next goes on from there. From then until finish, reading waits.
    """

    def __init__(self, sock, server):
        import select
        import threading
        self.sock = sock
        self.server = server
        self.lock = threading.Lock()  # for sending: wsgi.errors may be used by any thread
        self.poll = select.poll()
        self.poll.register(sock, select.POLLIN | select.POLLRDHUP)
        self.data = b""     # what was read,
        self.pos = 0        # and how much of it was consumed
        self.skip = 0       # bytes to come that are of no interest
        self.content = 0    # bytes to come of a STDIN record,
        self.pad = 0        # and of its padding
        self.id = 0         # of the request, 0 between two
        self.keep = True
        self.params = []
        self.size = 0       # of params
        self.busy = False   # the application runs
        self.stdin_done = True
        self.aborted = False
        self.reader = None  # of STDIN

    # Sending

    def send(self, data):
        try:
            with self.lock:
                self.sock.sendall(data)
        except OSError as e:
            raise Disconnected("the response cannot be sent: %s" % (e.strerror or e)) from None

    def send_stream(self, kind, id, data, errors):
        """Sends for wsgi.errors, unless its request is over."""
        data = _stream(kind, id, data)
        with self.lock:
            if errors.conn is None:
                raise Disconnected("the request is over")
            try:
                self.sock.sendall(data)
            except OSError as e:
                raise Disconnected("the response cannot be sent: %s" % (e.strerror or e)) from None

    def _end_request(self, id, status):
        return _record(_END, id, bytes((0, 0, 0, 0, status, 0, 0, 0)))

    # Reading

    def fill(self):
        """Reads more, behind what there is."""
        while True:
            try:
                data = self.sock.recv(65536, self.server.impatient)
            except BlockingIOError:
                self.wait()
                continue
            except OSError as e:
                raise Disconnected("nothing can be read: %s" % (e.strerror or e)) from None
            if not data:
                raise Disconnected("the connection was closed")
            self.data = self.data[self.pos:] + data if self.pos < len(self.data) else data
            self.pos = 0
            return

    def wait(self):
        if not self.busy:
            raise Idle
        timeout = self.server.timeout
        if not self.poll.poll(timeout * 1000 or None):
            raise Disconnected("the web server sent nothing for %d s" % timeout)

    def need(self, n):
        while len(self.data) - self.pos < n:
            self.fill()

    def record(self):
        """The next record: type, id and content. Of STDIN that belongs to the request the
        content is what follows, and None is returned; other STDIN is skipped."""
        while self.skip:
            have = len(self.data) - self.pos
            if not have:
                self.fill()
                continue
            n = min(have, self.skip)
            self.pos += n
            self.skip -= n
        self.need(8)
        version, kind, id, n, pad = _unpack(self.data, self.pos)
        if version != 1:
            raise ProtocolError("a record has version %d" % version)
        if kind <= 8 and id == 0 or 9 <= kind <= 11 and id != 0:
            raise ProtocolError("a record of type %d has the request id %d" % (kind, id))  # B11
        if kind == _STDIN or kind > 11 and id or kind in (_END, _STDOUT, _STDERR, 8):
            self.pos += 8
            if kind == _STDIN and id == self.id and not self.stdin_done:
                self.content, self.pad = n, pad
                if not n:
                    self.stdin_done = True
                    self.skip = pad
            else:
                self.skip = n + pad
            return kind, id, None
        self.need(8 + n + pad)
        at = self.pos + 8
        self.pos = at + n + pad
        return kind, id, self.data[at:at + n]

    def next(self):
        """The variables of the next request, as sent."""
        if not self.id and not self.skip:
            if self.pos < len(self.data):
                if self.data.startswith(_STDIN_END, self.pos):  # of the last request
                    self.pos += 8
                self.data = self.data[self.pos:]
                self.pos = 0
            if self.pos == len(self.data):
                self.fill()
            content = self.next_at_once()
            if content is not None:
                return content
        while True:
            kind, id, content = self.record()
            if kind == _BEGIN:
                self.begin(id, content)
            elif not id:
                self.management(kind, content)
            elif id != self.id:
                pass  # B64
            elif kind == _ABORT:
                self.id = 0
                self.send(self._end_request(id, _COMPLETE))
                if not self.keep:
                    raise Disconnected("the request was aborted")
            elif kind == _STDIN:
                raise ProtocolError("STDIN comes before the end of PARAMS")
            elif kind == _PARAMS:
                if not content:
                    self.busy = True
                    end = _pack(1, _STDIN, id, 0, 0)
                    self.stdin_done = self.data.startswith(end, self.pos)
                    self.pos += 8 * self.stdin_done
                    content = b"".join(self.params)
                    self.params = []
                    return content
                self.params.append(content)
                self.size += len(content) + 64
                if self.size > _MOST_PARAMS:
                    self.send(self._end_request(id, _OVERLOADED))
                    raise ProtocolError("PARAMS have more than %d bytes" % _MOST_PARAMS)

    def next_at_once(self):
        """next for what nearly all requests are: BEGIN_REQUEST, one record of PARAMS and
        its end in what was read. None if it is not like that."""
        data = self.data
        keep = _BEGINS.get(data[:16])
        if keep is None or len(data) < 32:
            return None
        version, kind, id, n, pad = _unpack(data, 16)
        end = 24 + n
        at = end + pad + 8
        if kind != 4 or id != 1 or version != 1 or data[end + pad:at] != _PARAMS_END:
            return None
        self.id = 1
        self.keep = keep
        self.busy = True
        if data[at:at + 8] == _STDIN_END:
            at += 8
            self.stdin_done = True
        else:
            self.stdin_done = False
        self.pos = at
        return data[24:end]

    def begin(self, id, content):
        if self.id:
            if id == self.id:
                raise ProtocolError("BEGIN_REQUEST for the request %d that runs" % id)
            self.send(self._end_request(id, _CANT_MPX))
            return
        if len(content) != 8 or content[:2] != b"\0\1":  # FCGI_RESPONDER
            self.send(self._end_request(id, _UNKNOWN_ROLE))
            return
        self.id = id
        self.stdin_done = True  # until PARAMS have ended
        self.keep = bool(content[2] & 1)
        self.params = []
        self.size = 0

    def management(self, kind, content):
        if kind != _GET_VALUES:
            self.send(_record(_UNKNOWN_TYPE, 0, bytes((kind, 0, 0, 0, 0, 0, 0, 0))))
            return
        reply = b""
        for name, _, _ in _pairs(content):
            value = _values.get(name)
            if value is not None:
                reply += bytes((len(name), len(value))) + name.encode() + value.encode()
        self.send(_record(_GET_VALUES_RESULT, 0, reply))

    # The request's body

    def more_stdin(self):
        """Reads records until there is STDIN or its end."""
        while not self.content and not self.stdin_done:
            self.meanwhile(*self.record())

    def read_into(self, view):
        """Reads some of STDIN, 0 bytes at its end."""
        if not self.content:
            self.more_stdin()
            if not self.content:
                return 0
        n = min(len(view), self.content)
        have = len(self.data) - self.pos
        if have:
            n = min(n, have)
            view[:n] = self.data[self.pos:self.pos + n]
            self.pos += n
        else:
            n = self.receive_into(view[:n])
        self.content -= n
        if not self.content:
            self.skip = self.pad
        return n

    def receive_into(self, view):
        while True:
            try:
                n = self.sock.recv_into(view)
            except BlockingIOError:
                self.wait()
                continue
            except OSError as e:
                raise Disconnected("the request cannot be read: %s" % (e.strerror or e)) from None
            if not n:
                raise Disconnected("the connection was closed in the middle of the request")
            return n

    def body(self, length):
        """wsgi.input for a body of that length, None for one of which it is not told."""
        if self.stdin_done and not length:
            return io.BytesIO()
        if length is not None:  # most bodies are short, and here by now
            data, at = self.data, self.pos
            end = at + 8 + length
            if len(data) >= end + 8 and length <= 65535:
                version, kind, id, n, pad = _unpack(data, at)
                if (version == 1 and kind == _STDIN and id == self.id and n == length and
                        data[end + pad:end + pad + 8] == _pack(1, _STDIN, id, 0, 0)):
                    self.pos = end + pad + 8
                    self.stdin_done = True
                    return io.BytesIO(data[at + 8:end])
        self.reader = FastCGIBody(self, length)
        return io.BufferedReader(self.reader, 65536)

    def check(self):
        """Raises Disconnected if the web server has closed or aborted."""
        events = self.poll.poll(0)
        if events and events[0][1] & ~1:  # more than POLLIN: an end or an error
            raise Disconnected("the connection was closed")
        self.busy = False  # what has not come is not waited for
        try:
            # Behind STDIN that the application has not read nothing can be seen.
            while not self.content and (self.pos < len(self.data) or self.poll.poll(0)):
                self.meanwhile(*self.record())
        except Idle:
            pass
        finally:
            self.busy = True

    def meanwhile(self, kind, id, content):
        """Does what a record asks for that comes while a request is answered."""
        if kind == _BEGIN:
            self.begin(id, content)
        elif not id:
            self.management(kind, content)
        elif kind == _ABORT and id == self.id:
            self.aborted = True
            raise Disconnected("the web server aborted the request")

    # The end

    def finish(self, data, errors):
        """Sends the last of the response and the end of the request."""
        if errors.text:
            errors.flush()
        id = self.id
        n = len(data)
        if n > _BLOCK:
            self.send(_stream(_STDOUT, id, data))
            n = 0
        tail = _TAIL if id == 1 else _record(_STDOUT, id, b"") + self._end_request(id, _COMPLETE)
        if n:
            pad = -n & 7
            tail = b"%b%b%b%b" % (_pack(1, _STDOUT, id, n, pad), data, _ZEROS[pad], tail)
        try:
            with self.lock:
                errors.conn = None
                self.sock.sendall(tail)
        except OSError as e:
            raise Disconnected("the response cannot be sent: %s" % (e.strerror or e)) from None
        self.over()

    def over(self):
        """The request is over; what follows of its STDIN is skipped."""
        self.id = 0
        self.busy = False
        if self.reader is not None:
            self.reader.conn = None
            self.reader = None
        self.aborted = False
        if self.content:
            self.skip = self.content + self.pad
            self.content = 0


class FastCGIBody(io.RawIOBase):
    """STDIN of a request, as far as CONTENT_LENGTH goes."""

    def __init__(self, conn, length):
        self.conn = conn    # None when the request is over
        self.rest = length

    def readable(self):
        return True

    def readinto(self, b):
        conn = self.conn
        if conn is None:
            raise ValueError("the request is over")
        view = memoryview(b)
        if self.rest is not None:
            view = view[:self.rest]
            if not len(view):
                return 0
        n = conn.read_into(view)
        if self.rest is not None:
            if not n:
                raise _short(self.rest)
            self.rest -= n
        return n


class FastCGIResponse(Response):
    """A response on a connection."""

    complete = False

    def __init__(self, environ, errors, conn):
        Response.__init__(self, environ, errors)
        self.conn = conn

    def emit(self, data):
        conn = self.conn
        conn.send(_stream(_STDOUT, conn.id, data))

    def end(self, data):
        self.conn.finish(data, self.errors)
        self.complete = True

    def abort(self):
        """B67; otherwise the connection ends without END_REQUEST."""
        if self.conn.aborted:
            self.end(b"")

    def left(self):
        self.conn.check()


class Server:
    """Serves all connections of a listening socket, any number of them, with as many
    threads as it is told: one waits for the next that something comes on, in a common
    epoll(7) set, answers what came, and puts it back. Where every connection can have a
    thread for itself, it stays with it for a while: that saves two system calls."""

    def __init__(self, listener, application, threads, processes, timeout):
        import select
        import threading
        self.listener = listener
        self.application = application
        self.threads = threads
        self.timeout = timeout
        self.params = Params(_defaults(threads > 1, processes, False))
        self.waiting = {}    # connections in the set, by descriptor, the one longest idle first
        self.open = 0        # connections
        self.impatient = 0   # flag for recv(2): MSG_DONTWAIT if there are more than threads
        self.lock = threading.Lock()
        self.epoll = select.epoll()
        self.once = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
        self.stop_reading, self.stop_writing = os.pipe()
        self.stopping = False
        listener.setblocking(False)  # another process may be first to accept
        self.epoll.register(listener, self.once)
        self.epoll.register(self.stop_reading, select.EPOLLIN)
        _not_for_children.update((listener, self.epoll))
        peers = os.environ.get("FCGI_WEB_SERVER_ADDRS")  # FastCGI 3.2
        self.peers = peers and [p.strip() for p in peers.split(",")]

    def stop(self, *_):
        """Ends serving, from a signal handler: what runs goes on to its end."""
        if not self.stopping:
            self.stopping = True
            os.write(self.stop_writing, b".")

    def serve(self):
        import threading
        if self.threads == 1:
            self.work()
        else:
            threads = [threading.Thread(target=self.work, name="wsgi-%d" % i, daemon=True)
                       for i in range(1, self.threads + 1)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        self.drain()

    def work(self):
        """What each thread does."""
        listening = self.listener.fileno()
        while not self.stopping:
            fd = self.epoll.poll(-1, 1)[0][0]
            if fd == listening:
                conn = self.accept()
            else:
                conn = self.waiting.pop(fd, None)
            if conn is not None:
                try:
                    self.talk(conn)
                except Exception as e:
                    _print_exception(e, sys.stderr)
                    self.close(conn)

    def accept(self):
        """A new connection, None if there is none."""
        import select
        import socket
        try:
            sock, address = self.listener.accept()
        except BlockingIOError:
            sock = None
        except OSError as e:  # out of descriptors, or gone before it was taken
            sock = None
            if not self.evict():
                print("run_wsgi: accept: %s" % e.strerror, file=sys.stderr)
                select.select([self.stop_reading], [], [], 1)
        if sock is not None:
            self.count(1)
            if self.open > _MOST_CONNECTIONS:
                self.evict()
        self.epoll.modify(self.listener, self.once)
        if sock is None:
            return None
        if sock.family != socket.AF_UNIX:
            if self.peers and address[0] not in self.peers:
                sock.close()
                self.count(-1)
                return None
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(True)
        _set_timeout(sock, socket.SO_RCVTIMEO, _PATIENCE)
        _set_timeout(sock, socket.SO_SNDTIMEO, self.timeout * 1000)
        _not_for_children.add(sock)
        return Connection(sock, self)

    def evict(self):
        """Closes the connection that is idle longest. Returns whether there is one."""
        for fd in list(self.waiting):
            conn = self.waiting.pop(fd, None)
            if conn is not None:
                self.close(conn)
                return True
        return False

    def talk(self, conn):
        """Answers the requests of a connection, and puts it back into the set or closes it."""
        turns = 0
        try:
            while self.answer(conn):
                turns += 1
                if self.stopping or (self.impatient or turns >= _TURNS) and conn.pos == len(conn.data):
                    self.put_back(conn)
                    return
        except Idle:
            self.put_back(conn)
            return
        except Disconnected:
            pass
        except ProtocolError as e:
            print("run_wsgi: not FastCGI: %s" % e, file=sys.stderr)
        self.close(conn)

    def put_back(self, conn):
        conn.data = conn.data[conn.pos:]
        conn.pos = 0
        fd = conn.sock.fileno()
        self.waiting[fd] = conn
        if self.stopping:
            return  # drain looks after it
        try:
            try:
                self.epoll.modify(fd, self.once)
            except FileNotFoundError:
                self.epoll.register(fd, self.once)
        except OSError:
            pass  # it was closed to make room

    def close(self, conn):
        _not_for_children.discard(conn.sock)
        conn.sock.close()
        self.count(-1)

    def count(self, more):
        import socket
        with self.lock:
            self.open += more
            self.impatient = socket.MSG_DONTWAIT if self.open > self.threads else 0

    def answer(self, conn):
        """Answers one request. Returns whether the connection may carry another."""
        content = conn.next()
        environ = self.params.environ(content)
        environ["wsgi.errors"] = errors = Errors(conn, conn.id)
        response = FastCGIResponse(environ, errors, conn)
        try:
            environ["wsgi.input"] = conn.body(_content_length(environ))
        except ValueError as e:
            response._complain(str(e))
            response.end(b"Status: 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        else:
            response.run(self.application)
        errors.conn = None
        if _sources is not None:
            write_sources()
        if not response.complete:
            return False
        if conn.keep:
            return True
        if not conn.stdin_done:
            _linger(conn.sock, _LINGER_BYTES)
        return False

    def drain(self):
        """Answers, before the end, what came before it. A connection that was accepted so
        late gets a moment for its request: it could have been another process's."""
        import time
        until = time.monotonic() + _DRAIN
        for conn in list(self.waiting.values()):
            if conn.data or conn.poll.poll(0):
                self.talk(conn)
        for _ in range(_MOST_CONNECTIONS):
            conn = self.accept()
            if conn is None:
                return
            if conn.poll.poll(max(0.0, until - time.monotonic()) * 1000):
                self.talk(conn)


def _set_timeout(sock, option, milliseconds):
    import socket
    import struct
    seconds, rest = divmod(int(milliseconds), 1000)
    for layout in ("ll", "qq"):  # struct timeval, which on 32 bits may be either
        try:
            sock.setsockopt(socket.SOL_SOCKET, option, struct.pack(layout, seconds, rest * 1000))
            return
        except OSError:
            if layout == "qq":
                raise


def _prepare_records():
    """What FastCGI needs and CGI need not wait for."""
    global _pack, _unpack, _BEGINS, _PARAMS_END, _STDIN_END, _TAIL
    import struct
    header = struct.Struct(">BBHHBx")
    _pack, _unpack = header.pack, header.unpack_from
    _BEGINS = {_record(_BEGIN, 1, b"\0\1" + bytes((flags, 0, 0, 0, 0, 0))): bool(flags & 1)
               for flags in (0, 1)}
    _PARAMS_END = _record(_PARAMS, 1, b"")
    _STDIN_END = _record(_STDIN, 1, b"")
    _TAIL = _record(_STDOUT, 1, b"") + _record(_END, 1, bytes(8))


_values = {}  # what GET_VALUES may ask for


def run_fastcgi(spec, options):
    """Serves until it is told to stop and returns the exit status."""
    import select
    import signal
    import socket
    if not hasattr(select, "epoll"):
        print("run_wsgi: FastCGI needs epoll(7), which this system has not", file=sys.stderr)
        return 2
    listener = socket.socket(fileno=os.dup(0))
    _detach_standard_files()
    try:
        application = load(spec)
    except BaseException as e:
        write_sources(e)
        print("run_wsgi: cannot load the application %r" % spec, file=sys.stderr)
        _print_exception(e, sys.stderr)
        return 3
    write_sources()
    _prepare_records()
    threads = options["threads"]
    _values.update({"FCGI_MAX_CONNS": str(threads), "FCGI_MAX_REQS": str(threads), "FCGI_MPXS_CONNS": "0"})
    server = Server(listener, application, threads, options["multiprocess"], options["timeout"])
    signal.signal(signal.SIGTERM, server.stop)
    signal.signal(signal.SIGINT, server.stop)
    server.serve()
    return 0


# ------------------------------------------------------------------- the application

class SpecError(Exception):
    """The application is not there, or not one."""


def split_spec(spec):
    """A file or None, a module or None, and the expression for the application."""
    place, colon, expression = spec.partition(".py:")
    if colon or spec.endswith(".py"):
        return (place + ".py" if colon else spec), None, expression or "application"
    place, _, expression = spec.partition(":")
    if "/" in place or os.path.isfile(place):
        return place, None, expression or "application"
    return None, place, expression or "application"


def load(spec):
    """The application that spec names."""
    file, module, expression = split_spec(spec)
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]
    if file is None:
        sys.path.insert(0, os.getcwd())
        namespace = _import(module)
    else:
        namespace = _import_file(os.path.abspath(file))
    application = _evaluate(namespace, expression)
    if not callable(application):
        raise SpecError("%s: %s is a %s, which cannot be called" % (spec, expression, type(application).__name__))
    return application


def _import(module):
    __import__(module)
    return sys.modules[module]


def _import_file(path):
    folder, name = os.path.split(path)
    if not os.path.isfile(path):
        raise SpecError("there is no file %s" % path)
    stem, ext = os.path.splitext(name)
    package = []
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, part = os.path.split(folder)
        package.insert(0, part)
    sys.path.insert(0, folder)
    if package and ext == ".py":
        return _import(".".join(package + ([] if stem == "__init__" else [stem])))
    if ext == ".py" and stem.isidentifier() and stem not in sys.modules and stem not in sys.builtin_module_names:
        module = _import(stem)
        if getattr(module, "__file__", None) == path:
            return module
    import importlib.machinery
    import importlib.util
    stem = "wsgi_application"  # the name is another's, or none
    loader = importlib.machinery.SourceFileLoader(stem, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(stem, path, loader=loader))
    sys.modules[stem] = module  # as import does, for what refers to it
    loader.exec_module(module)
    return module


def _evaluate(namespace, expression):
    """The value of a name, perhaps dotted, or of a call of one with literal arguments."""
    names, call = [expression], None
    if not expression.isidentifier():
        try:
            names, call = _parse_expression(expression)
        except (SyntaxError, ValueError):
            raise SpecError("%r is neither a name nor a call with literal arguments" % expression) from None
    value = namespace
    for name in names:
        if not hasattr(value, name):
            others = [n for n in ("app", "application", "create_app", "make_app") if hasattr(namespace, n)]
            raise SpecError("%s has no %r%s" % (namespace.__name__, name, others and ", but %s" % ", ".join(others) or ""))
        value = getattr(value, name)
    return value if call is None else value(*call[0], **call[1])


def _parse_expression(expression):
    """Names that are joined by dots, and the arguments of a call or None."""
    import ast
    node = ast.parse(expression, mode="eval").body
    call = None
    if isinstance(node, ast.Call):
        call = [ast.literal_eval(a) for a in node.args], {k.arg: ast.literal_eval(k.value) for k in node.keywords}
        if None in call[1]:  # **
            raise ValueError
        node = node.func
    names = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise ValueError
    return [node.id] + names, call


_sources = None  # --sources
_modules_seen = 0


def write_sources(failure=None):
    """Writes the files of all modules outside of the Python installation, if there are
    more modules than before; after a failure with those that it came from."""
    global _modules_seen
    if _sources is None or len(sys.modules) == _modules_seen and failure is None:
        return
    _modules_seen = len(sys.modules)
    import site
    import sysconfig
    files = {getattr(m, "__file__", None) for m in list(sys.modules.values())}
    if failure is not None:
        if isinstance(failure, SyntaxError):
            files.add(failure.filename)
        tb = failure.__traceback__
        while tb is not None:
            files.add(tb.tb_frame.f_code.co_filename)
            tb = tb.tb_next
    files = {os.path.abspath(f) for f in files if isinstance(f, str) and f[:1] != "<"}
    files -= {os.path.abspath(__file__), os.path.abspath(main.__code__.co_filename)}
    installed = {sysconfig.get_path(n) for n in ("stdlib", "platstdlib", "purelib", "platlib")}
    installed.update(site.getsitepackages() + [site.getusersitepackages()])
    installed = tuple(os.path.join(d, "") for d in installed if d)
    lines = [os.fsencode(f) for f in sorted(files) if not f.startswith(installed)]
    temporary = "%s.%d" % (_sources, os.getpid())
    try:
        with open(temporary, "wb") as out:
            out.write(b"".join(line + b"\n" for line in lines if b"\n" not in line))
        os.replace(temporary, _sources)
    except OSError as e:
        print("run_wsgi: sources: %s" % e, file=sys.stderr)


# ------------------------------------------------------------------- the command line

def parse(args):
    """The application and the options. ValueError says what is wrong."""
    options = {"threads": 1, "multiprocess": False, "chdir": None, "sources": None,
               "timeout": 300, "script-name": None, "show-errors": False, "compile": None}
    specs = []
    args = list(args)
    while args:
        arg = args.pop(0)
        if not arg.startswith("--"):
            specs.append(arg)
            continue
        name, equals, value = arg[2:].partition("=")
        default = options.get(name, arg)
        if default is arg:
            raise ValueError("unknown option %s" % arg)
        if isinstance(default, bool):
            if equals:
                raise ValueError("option --%s takes no value" % name)
            options[name] = True
            continue
        if not equals:
            if not args:
                raise ValueError("option --%s needs a value" % name)
            value = args.pop(0)
        if isinstance(default, int):
            if not (value.isascii() and value.isdigit()) or len(value) > 6 or name == "threads" and int(value) == 0:
                raise ValueError("option --%s is %r, want a number" % (name, value))
            value = int(value)
        options[name] = value
    if options["compile"] is not None and not specs:
        return None, options
    if len(specs) != 1:
        raise ValueError("want one application")
    return specs[0], options


def _is_listening():
    """Whether standard input is a socket that listens (FastCGI 2.2)."""
    try:
        if not stat.S_ISSOCK(os.fstat(0).st_mode):
            return False
    except OSError:
        return False
    import socket
    with socket.socket(fileno=os.dup(0)) as s:
        try:
            return bool(s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        except OSError:
            return False


def main(args):
    global _mount, _sources
    if "--help" in args or "-h" in args:
        print(_USAGE, end="")
        return 0
    try:
        spec, options = parse(args)
        if spec is None:
            import py_compile
            py_compile.compile(__file__, options["compile"], doraise=True)
            return 0
        if options["chdir"] is not None:
            os.chdir(options["chdir"])
    except (ValueError, OSError) as e:
        print("run_wsgi: %s" % e, file=sys.stderr)
        return 2
    if options["script-name"] is not None:
        _mount = options["script-name"].rstrip("/")
    _sources = options["sources"] and os.path.abspath(options["sources"])
    Response.show_errors = options["show-errors"]
    sys.argv[1:] = []  # these are not the application's
    _open_standard_files()
    if _is_listening():
        return run_fastcgi(spec, options)
    return run_cgi(spec)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
