"""Small applications, each about one rule of PEP 3333, by their PATH_INFO.

All are wrapped in wsgiref.validate, which checks the server as well as the application,
but for those under /rough/: these break a rule, and the server has to say so.
"""

import ctypes
import hashlib
import io
import json
import os
import signal
import sys
import time
from urllib.parse import parse_qs
from wsgiref.validate import validator

PLAIN = [("Content-Type", "text/plain")]
TEXT = b"0123456789abcdef\n" * 8192


def query(environ, name):
    return parse_qs(environ["QUERY_STRING"])[name][0]


def note(environ, text):
    """Adds a line to the file that the request names."""
    with open(query(environ, "file"), "a") as file:
        file.write(text + "\n")


# environ (C01 to C08)

ALWAYS = "REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING SERVER_NAME SERVER_PORT SERVER_PROTOCOL".split()
NEVER = "HTTP_CONTENT_TYPE HTTP_CONTENT_LENGTH HTTP_PROXY AUTH_TYPE REMOTE_USER HTTPS SECRET LD_LIBRARY_PATH".split()
NOT_THE_WORKERS = ["PATH", "HOME", "LANG"]  # a CGI program's environment is the request's as well


def complaints(environ):
    if type(environ) is not dict:
        yield f"environ is a {type(environ)}"
    if "mark" in environ:
        yield "environ was another request's"
    environ["mark"] = True
    for name in ALWAYS:
        if name not in environ:
            yield f"no {name}"
    for name in NEVER if environ["wsgi.run_once"] else NEVER + NOT_THE_WORKERS:
        if name in environ:
            yield f"{name} is {environ[name]!r}"
    for name, value in environ.items():
        if "." in name or name == "mark":
            continue
        if type(value) is not str or any(ord(c) > 255 for c in value):
            yield f"{name} is {value!r}"
    if environ["wsgi.version"] != (1, 0) or type(environ["wsgi.version"]) is not tuple:
        yield "wsgi.version"


def show_environ(environ, start_response):
    found = {"complaints": list(complaints(environ))}
    for name, value in environ.items():
        if type(value) in (str, bool):
            found[name] = value
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]


# wsgi.input (C10 to C12): each reads all of it in another way


def read_blocks(file):
    return iter(lambda: file.read(1000), b"")


def read_too_much(file):
    yield file.read(1 << 30)
    yield file.read(1 << 30)


def read_nothing_between(file):
    while True:
        if file.read(0) != b"":
            raise AssertionError("read(0) returned something")
        block = file.read(4093)
        if not block:
            return
        yield block


def read_line_pieces(file):
    while True:
        piece = file.readline(7)
        if len(piece) > 7:
            raise AssertionError("readline(7) returned more")
        if not piece:
            return
        yield piece


def read_by_turns(file):
    while True:
        line, block = file.readline(), file.read(333)
        if not line and not block:
            return
        yield line
        yield block


def read_hinted(file):
    while True:
        lines = file.readlines(5000)
        if not lines:
            return
        yield from lines


READERS = {
    "read": lambda file: [file.read(-1)],
    "blocks": read_blocks,
    "too-much": read_too_much,
    "nothing-between": read_nothing_between,
    "readline": lambda file: iter(file.readline, b""),
    "line-pieces": read_line_pieces,
    "readlines": lambda file: file.readlines(),
    "hinted": read_hinted,
    "lines": iter,
    "by-turns": read_by_turns,
}


def read_input(environ, start_response):
    digest, size = hashlib.md5(), 0
    for piece in READERS[query(environ, "how")](environ["wsgi.input"]):
        digest.update(piece)
        size += len(piece)
    if environ["wsgi.input"].read(1) != b"":
        raise AssertionError("there is more behind the end")
    start_response("200 OK", PLAIN)
    return [f"{size} {digest.hexdigest()}\n".encode()]


def echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("X-Pid", str(os.getpid()))])
    return read_blocks(environ["wsgi.input"])


def hello(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"hello\n"]


def pid(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"%d\n" % os.getpid()]


def say(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("größer ☃ \udc80\n")
    errors.writelines(["two\n", "lines\n"])
    errors.flush()
    print("printed", file=errors)
    return hello(environ, start_response)


# start_response and the answer (C20 to C33)


def written(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"one ")
    write(b"two ")
    return [b"three\n"]


def late(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"late\n"


def empties(environ, start_response):
    start_response("404 Not Found", PLAIN)
    yield b""
    start_response("200 OK", PLAIN, no_exception())
    yield b""
    yield b"something\n"
    yield b""


def no_exception():
    try:
        raise RuntimeError
    except RuntimeError:
        return sys.exc_info()


def replaced(environ, start_response):
    start_response("200 OK", PLAIN + [("X-First", "1")])
    try:
        raise RuntimeError("too bad")
    except RuntimeError:
        start_response("503 Later", PLAIN + [("Retry-After", "7")], sys.exc_info())
    return [b"replaced\n"]


def replaced_too_late(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"the first half\n"
    try:
        raise RuntimeError("on purpose")
    except RuntimeError:
        start_response("500 Too Late", PLAIN, sys.exc_info())
    yield b"never seen\n"


class Closed:
    """A body that notes its end."""

    def __init__(self, environ, blocks):
        self.environ, self.blocks = environ, iter(blocks)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.blocks)

    def close(self):
        note(self.environ, "closed")


def failing():
    yield b"the first half\n"
    raise RuntimeError("on purpose")


def failing_at_once():
    raise RuntimeError("on purpose")
    yield


def with_body(*blocks, header=PLAIN, status="200 OK"):
    def application(environ, start_response):
        start_response(status, list(header))
        return Closed(environ, blocks)

    return application


def with_generator(generate):
    def application(environ, start_response):
        start_response("200 OK", PLAIN)
        return Closed(environ, generate())

    return application


def waiting(environ, start_response):
    """Five lines, each when the file says that the last was seen."""
    start_response("200 OK", PLAIN)
    return Closed(environ, wait_for_reader(query(environ, "file")))


def wait_for_reader(name):
    for number in range(1, 6):
        yield b"line %d\n" % number
        deadline = time.monotonic() + 30
        while not os.path.exists(f"{name}.{number}") and time.monotonic() < deadline:
            time.sleep(0.02)


def endless(environ, start_response):
    start_response("200 OK", PLAIN)
    return Closed(environ, iter(lambda: TEXT, None))


def no_content(environ, start_response):
    start_response("204 No Content", [("X-Empty", "yes")])
    return []


def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"abc"')])
    return []


def fields(environ, start_response):
    start_response("299 Many Things", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("X-Latin", "\xe4"), ("Set-Cookie", "b=2"), ("x-long", "x" * 7000)])
    return [b"", b"fields\n"]


class Unseekable(io.BytesIO):
    def fileno(self):
        raise OSError("this is no real file")


def wrapped(environ, start_response):
    """This file from some place on, as a file or as something that only reads."""
    begin = int(query(environ, "from"))
    file = open(__file__, "rb")
    if query(environ, "kind") == "object":
        file = Unseekable(file.read())
    file.seek(begin)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](file, 1000)


# what goes wrong


def fail(environ, start_response):
    raise RuntimeError("on purpose")


def leave(environ, start_response):
    sys.exit("on purpose")


def die(environ, start_response):
    os._exit(7)


def dying():
    yield b"the first half\n"
    os.kill(os.getpid(), signal.SIGKILL)


def hang(environ, start_response):
    note(environ, str(os.getpid()))
    while True:
        time.sleep(0.01)


def hang_in_c(environ, start_response):
    """A C call that holds the interpreter's lock, with all signals blocked."""
    note(environ, str(os.getpid()))
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(600)


def grow(environ, start_response):
    kept.append(bytearray(os.urandom(1)) * (64 << 20))
    return pid(environ, start_response)


kept = []


def fork(environ, start_response):
    """Leaves a child that holds all of the worker's files."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    start_response("200 OK", PLAIN)
    return [b"%d\n" % child]


# what the server has to refuse (C20 to C24, C30), but for the first


def answers(status="200 OK", header=PLAIN, body=(b"body\n",)):
    def application(environ, start_response):
        start_response(status, header)
        return body

    return application


def twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b"body\n"]


def never(environ, start_response):
    return [b"body\n"]


def writes_text(environ, start_response):
    start_response("200 OK", PLAIN)("text")
    return []


ROUGH = {
    "fine": answers(),
    "text": answers(body=("text\n",)),
    "nothing": answers(body=None),
    "twice": twice,
    "never": never,
    "writes-text": writes_text,
    "status-bytes": answers(status=b"200 OK"),
    "status-short": answers(status="20 OK"),
    "status-alone": answers(status="OK"),
    "status-lines": answers(status="200 OK\r\nX-Injected: 1"),
    "header-tuple": answers(header=tuple(PLAIN)),
    "header-bytes": answers(header=[(b"Content-Type", b"text/plain")]),
    "header-number": answers(header=PLAIN + [("X-Number", 7)]),
    "header-lines": answers(header=PLAIN + [("X-Lines", "1\r\nX-Injected: 1")]),
    "header-name": answers(header=PLAIN + [("X Name", "1")]),
    "header-colon": answers(header=PLAIN + [("X:Name", "1")]),
    "header-status": answers(header=PLAIN + [("Status", "201")]),
    "header-wide": answers(header=PLAIN + [("X-Wide", "☃")]),
    "connection": answers(header=PLAIN + [("Connection", "close")]),
    "transfer-encoding": answers(header=PLAIN + [("transfer-encoding", "chunked")]),
}

SMOOTH = {
    "environ": show_environ,
    "input": read_input,
    "echo": echo,
    "hello": hello,
    "pid": pid,
    "say": say,
    "written": written,
    "late": late,
    "empties": empties,
    "replaced": replaced,
    "replaced-too-late": replaced_too_late,
    "closed": with_body(b"one\n", b"two\n"),
    "closed-one": with_body(b"one\n"),
    "closed-none": with_body(),
    "failing": with_generator(failing),
    "failing-at-once": with_generator(failing_at_once),
    "exact": with_body(b"12345", b"67890", header=PLAIN + [("Content-Length", "10")]),
    "short": with_body(b"12345", header=PLAIN + [("Content-Length", "10")]),
    "long": with_body(b"12345", b"6789012345", header=PLAIN + [("Content-Length", "10")]),
    "waiting": waiting,
    "endless": endless,
    "no-content": no_content,
    "not-modified": not_modified,
    "fields": fields,
    "wrapped": wrapped,
    "fail": fail,
    "leave": leave,
    "die": die,
    "dying": with_generator(dying),
    "hang": hang,
    "hang-in-c": hang_in_c,
    "grow": grow,
    "fork": fork,
}


def smooth(environ, start_response):
    name = environ["PATH_INFO"].split("/")[1]
    return SMOOTH[name](environ, start_response)


valid = validator(smooth)


def application(environ, start_response):
    name = environ["PATH_INFO"]
    if name.startswith("/rough/"):
        return ROUGH[name[len("/rough/"):]](environ, start_response)
    if name == "/wrapped" and query(environ, "kind") == "file":
        return wrapped(environ, start_response)  # the server may use that it gets its own object back
    return valid(environ, start_response)
