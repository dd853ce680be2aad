"""One application for each rule of PEP 3333, by the first segment of PATH_INFO."""
import io
import os
import subprocess
import sys
import threading
import time

TEXT = [("Content-Type", "text/plain")]


def application(environ, start_response):
    name = environ["PATH_INFO"].split("/")[1]
    return globals()["do_" + name](environ, start_response)


def reply(start_response, text):
    start_response("200 OK", TEXT[:])
    return [text.encode("utf-8", "backslashreplace")]


class Closing:
    """A body whose close() tells of itself."""

    def __init__(self, environ, blocks):
        self.errors = environ["wsgi.errors"]
        self.blocks = iter(blocks)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.blocks)

    def close(self):
        self.errors.write("closed\n")


# The environment

def do_environ(environ, start_response):
    assert type(environ) is dict, type(environ)
    assert "mine" not in environ
    environ["mine"] = 1
    lines = []
    for name, value in sorted(environ.items()):
        if not name.startswith("wsgi."):
            assert type(name) is str and (type(value) is str or name == "mine")
        if name not in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper"):
            lines.append("%s=%a" % (name, value))
    return reply(start_response, "\n".join(lines))


# Input

def do_read(environ, start_response):
    """Does the calls that the query string names, separated by ;"""
    body, out = environ["wsgi.input"], []
    for call in environ["QUERY_STRING"].split(";"):
        if call == "iter":
            out.append(list(body))
        elif call == "next":
            out.append(next(iter(body)))
        else:
            name, _, size = call.partition(",")
            out.append(getattr(body, name)(*([int(size)] if size else [])))
    return reply(start_response, repr(out))


def do_sum(environ, start_response):
    """Length and sum of the body, read in pieces."""
    import zlib
    n = crc = 0
    while True:
        block = environ["wsgi.input"].read(100000)
        if not block:
            break
        n += len(block)
        crc = zlib.crc32(block, crc)
    with open("/proc/self/status") as f:
        most = [line.split()[1] for line in f if line.startswith("VmHWM")][0]
    return reply(start_response, "%d %08x %s" % (n, crc, most))


def do_short(environ, start_response):
    try:
        got = environ["wsgi.input"].read()
    except OSError as e:
        environ["wsgi.errors"].write("raised %s\n" % type(e).__name__)
        return reply(start_response, "raised")
    return reply(start_response, "read %r" % got)


def do_ignore(environ, start_response):
    return reply(start_response, "ignored")


def do_keepinput(environ, start_response):
    """Leaves its input to the next request, which reads with it."""
    global kept
    old, kept = kept, environ["wsgi.input"]
    if old is None:
        return reply(start_response, "kept")
    try:
        got = old.read() if old else None
    except (OSError, ValueError) as e:
        got = type(e).__name__
    return reply(start_response, "%r %r" % (got, environ["wsgi.input"].read()))


kept = None


# Errors

def do_errors(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("one\ntwo ")
    errors.writelines(["\u20ac\udc80", "\x00\u65e5\n"])
    print("printed", file=errors)
    errors.flush()
    try:
        errors.write(b"bytes")
    except TypeError:
        errors.write("unfinished")
    return reply(start_response, "")


def do_lateerrors(environ, start_response):
    """A thread that goes on to write when the request is over: there is the file X_OVER."""
    def late():
        while not os.path.exists(environ["X_OVER"]):
            time.sleep(0.002)
        environ["wsgi.errors"].write("late\n")
    threading.Thread(target=late).start()
    return reply(start_response, "early")


# start_response

def do_status(environ, start_response):
    status = eval(environ["QUERY_STRING"].replace("+", " "))
    start_response(status, TEXT[:])
    return [b"accepted"]


def do_header(environ, start_response):
    headers = eval(environ["QUERY_STRING"].replace("+", " "))
    start_response("200 OK", headers)
    return [b"accepted"]


def do_refused(environ, start_response):
    """An error is raised inside start_response, and the application may go on."""
    try:
        start_response("200", [])
    except AssertionError:
        pass
    try:
        start_response("200 OK", [])
    except AssertionError as e:
        try:
            raise
        except AssertionError:
            start_response("200 OK", TEXT[:], sys.exc_info())
    return [b"third"]


def do_twice(environ, start_response):
    start_response("200 OK", TEXT[:])
    start_response("201 Created", TEXT[:])
    return [b"x"]


def do_replace(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "3"), ("X-A", "1")])
    try:
        raise ValueError("replaced")
    except ValueError:
        start_response("418 Teapot", TEXT + [("X-B", "2")], sys.exc_info())
    return [b"replacement"]


def do_replacelate(environ, start_response):
    write = start_response("200 OK", TEXT[:])
    write(b"sent")
    try:
        raise ValueError("too late")
    except ValueError:
        start_response("500 Error", TEXT[:], sys.exc_info())
    return [b"not reached"]


def do_replacecaught(environ, start_response):
    write = start_response("200 OK", TEXT[:])
    write(b"sent")
    try:
        raise ValueError("too late")
    except ValueError as e:
        try:
            start_response("500 Error", TEXT[:], sys.exc_info())
        except ValueError as again:
            return [b" same" if e is again else b" other"]
    return [b" nothing raised"]


def do_never(environ, start_response):
    return [b"body"]


def do_nevergenerator(environ, start_response):
    yield b""


def do_infirst(environ, start_response):
    start_response("200 OK", TEXT[:])
    yield b"generated"


def do_insecond(environ, start_response):
    yield b""
    start_response("200 OK", TEXT[:])
    yield b"generated"


def do_toolate(environ, start_response):
    yield b"body"
    start_response("200 OK", TEXT[:])


def do_keywords(environ, start_response):
    start_response("200 OK", TEXT[:], exc_info=None)
    return [b"accepted"]


# Bodies

def do_write(environ, start_response):
    write = start_response("200 OK", TEXT[:])
    write(b"a")
    write(b"")
    write(b"b")
    return [b"c", b"d"]


def do_writestr(environ, start_response):
    start_response("200 OK", TEXT[:])("text")
    return []


def do_writebeyond(environ, start_response):
    write = start_response("200 OK", TEXT + [("Content-Length", "4")])
    write(b"123")
    try:
        write(b"456")
    except AssertionError:
        environ["wsgi.errors"].write("refused\n")
    return []


def do_replacebeforebody(environ, start_response):
    """Empty blocks send no header (PEP 3333)."""
    start_response("200 OK", TEXT[:])
    yield b""
    try:
        raise ValueError
    except ValueError:
        start_response("500 Replaced", TEXT[:], sys.exc_info())
    yield b"replaced"


def do_nobody(environ, start_response):
    start_response("200 OK", TEXT[:])
    return []


def do_list(environ, start_response):
    start_response("200 OK", TEXT[:])
    return [b"one", b"", b"two"]


def do_tuple(environ, start_response):
    start_response("200 OK", TEXT[:])
    return (b"one", b"two")


class Single:
    def __len__(self):
        return 1

    def __iter__(self):
        yield b"single"


def do_single(environ, start_response):
    start_response("200 OK", TEXT[:])
    return Single()


def do_generator(environ, start_response):
    start_response("200 OK", TEXT[:])
    yield b"one"
    yield b""
    yield b"two"


def do_kind(environ, start_response):
    start_response("200 OK", TEXT[:])
    return eval(environ["QUERY_STRING"])


def do_second(environ, start_response):
    start_response("200 OK", TEXT[:])
    yield b"first"
    yield eval(environ["QUERY_STRING"])


def do_length(environ, start_response):
    """?DECLARED,KIND,BLOCK,BLOCK..."""
    declared, kind, *blocks = environ["QUERY_STRING"].split(",")
    start_response("200 OK", TEXT + ([("Content-Length", declared)] if declared else []))
    blocks = [b.encode() for b in blocks]

    def generate():
        for i, block in enumerate(blocks):
            environ["wsgi.errors"].write("block %d\n" % i)
            yield block
    return blocks if kind == "list" else generate()


def do_big(environ, start_response):
    """?BYTES,KIND of letters"""
    size, kind = environ["QUERY_STRING"].split(",")
    data = (b"abcdefghijklmnopqrstuvwxyz" * (int(size) // 26 + 1))[:int(size)]
    if kind == "write":
        start_response("200 OK", TEXT[:])(data)
        return []
    start_response("200 OK", TEXT[:])
    if kind == "list":
        return [data]
    if kind == "parts":
        return [data[i:i + 100000] for i in range(0, len(data), 100000)]
    return (data[i:i + 100000] for i in range(0, len(data), 100000))


def do_steps(environ, start_response):
    """Gives the next block when there is a file: two, three in the folder X_DIR."""
    start_response("200 OK", TEXT[:])

    def generate():
        yield b"one"
        for name in ("two", "three"):
            while not os.path.exists(os.path.join(environ["X_DIR"], name)):
                time.sleep(0.002)
            yield name.encode()
    if environ["QUERY_STRING"] == "closing":
        return Closing(environ, generate())
    return generate()


def do_endless(environ, start_response):
    start_response("200 OK", TEXT[:])

    def generate():
        while True:
            yield b"x" * 1000
            time.sleep(0.001)
    return Closing(environ, generate())


def do_method(environ, start_response):
    """Answers a HEAD as a GET, with or without a length."""
    how = environ["QUERY_STRING"]
    start_response("200 OK", TEXT + ([("Content-Length", "12")] if how != "nolength" else []))
    if how == "empty":
        return Closing(environ, [])
    if how == "write":
        raise NotImplementedError
    return Closing(environ, [b"Hello, world"[i:i + 1] for i in range(12)])


def do_bodiless(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("+", " "),
                   [("ETag", '"x"'), ("Content-Length", "4")])
    return Closing(environ, [b"body"])


# close()

def do_close(environ, start_response):
    start_response("200 OK", TEXT[:])
    return Closing(environ, [b"body"])


def do_closefails(environ, start_response):
    start_response("200 OK", TEXT[:])

    class Failing(Closing):
        def close(self):
            Closing.close(self)
            raise ValueError("in close")
    return Failing(environ, [b"body"])


def do_closeafter(environ, start_response):
    """?WHEN: iterating fails before or after the first block"""
    start_response("200 OK", TEXT[:])

    def generate():
        if environ["QUERY_STRING"] == "after":
            yield b"first"
        raise ValueError("in the body")
        yield
    return Closing(environ, generate())


def do_closebad(environ, start_response):
    """A body that cannot be iterated over, and has close()."""
    start_response("200 OK", TEXT[:])

    class Bad(Closing):
        __iter__ = None
    return Bad(environ, [])


# Exceptions

def do_raise(environ, start_response):
    """?EXCEPTION,WHEN"""
    name, when = environ["QUERY_STRING"].split(",")
    e = eval(name)
    if when == "before":
        raise e
    write = start_response("200 OK", TEXT[:])
    if when == "started":
        raise e
    write(b"sent")
    raise e


def do_cleared(environ, start_response):
    """environ is the application's to change."""
    environ.clear()
    raise ValueError("without environ")


def do_oddclose(environ, start_response):
    start_response("200 OK", TEXT[:])

    class Odd(Closing):
        @property
        def close(self):
            raise ValueError("no close")
    return Odd(environ, [b"body"])


# wsgi.file_wrapper

def do_file(environ, start_response):
    """?KIND,LENGTH,SKIP: a file of X_FILE or one like it"""
    kind, length, skip = environ["QUERY_STRING"].split(",")
    start_response("200 OK", TEXT + ([("Content-Length", length)] if length else []))
    errors = environ["wsgi.errors"]
    if kind in ("file", "wrapped"):
        file = open(environ["X_FILE"], "rb")
    elif kind == "unbuffered":
        file = open(environ["X_FILE"], "rb", 0)
    elif kind == "pipe":
        file = subprocess.Popen(["cat", environ["X_FILE"]], stdout=subprocess.PIPE).stdout
    elif kind == "noclose":
        class NoClose:
            read = open(environ["X_FILE"], "rb").read
        file = NoClose()
        assert not hasattr(environ["wsgi.file_wrapper"](file), "close")
    else:
        class Telling(io.BytesIO):
            def close(self):
                errors.write("closed\n")
                io.BytesIO.close(self)
        with open(environ["X_FILE"], "rb") as f:
            file = Telling(f.read())
    file.read(int(skip or 0))
    wrapped = environ["wsgi.file_wrapper"](file, 1000)
    if kind == "wrapped":
        return (block.upper() for block in wrapped)
    return wrapped


# Processes

def do_print(environ, start_response):
    print("printed")
    subprocess.check_call(["echo", "by a child"])
    got = sys.stdin.read() if sys.stdin else ""
    got += subprocess.check_output(["cat"]).decode()
    return reply(start_response, "stdin has %r" % got)


def do_fork(environ, start_response):
    """A child that comes back from the application, and one that leaves it by sys.exit."""
    how = environ["QUERY_STRING"]
    pid = os.fork()
    if not pid:
        if how == "exit":
            sys.exit(7)
        if how == "raise":
            raise ValueError("in the child")
        start_response("500 Child", TEXT[:])
        return [b"child"] if how == "return" else (b for b in [b"child", b"child"])
    _, status = os.waitpid(pid, 0)
    return reply(start_response, "child ended with %d" % (status >> 8))


def do_descriptors(environ, start_response):
    """What a child inherits."""
    return reply(start_response, subprocess.check_output(["ls", "-l", "/proc/self/fd"], close_fds=False).decode())


def do_pid(environ, start_response):
    return reply(start_response, str(os.getpid()))


barrier = threading.Barrier(4)


def do_together(environ, start_response):
    """Answers when it runs four times at once."""
    barrier.wait(60)
    return reply(start_response, threading.current_thread().name)
