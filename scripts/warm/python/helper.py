# The fork server, continued: the helper, and the spares that it has forked.


def spare(batch):
    """Waits in a process of its own for a request, and returns it."""
    posix.setsid()
    near, far = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    right = far.fileno().to_bytes(4, sys.byteorder)
    control.sendmsg([b"P\0" + batch], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, right)])
    far.close()
    control.close()
    mem = -1
    if area:
        try:
            mem = posix.open("/proc/self/mem", posix.O_RDWR | posix.O_CLOEXEC)
        except OSError:
            pass
    for fd in range(3):
        posix.close(fd)
    try:
        data, rights, _, _ = near.recvmsg(65536, _socket.CMSG_SPACE(12))
    except OSError:
        posix._exit(0)
    if not data or not rights or len(rights[0][2]) != 12:
        posix._exit(0)
    near.close()  # the three have landed on 0, 1 and 2, which were free
    return Order(data), mem


def fork_batch(batch, count):
    """Has a process fork count spares and end, so that they are not this one's
    children. Returns only in a spare that has got a request."""
    pid = posix.fork()
    if pid:
        _, status = posix.waitpid(pid, 0)
        control.send(b"\0".join([b"F", batch] + ([b"", b"cannot fork"] if status else [b"%d" % count, b""])))
        return None
    try:
        for _ in range(count):
            if posix.fork() == 0:
                return spare(batch)
    except BaseException:
        posix._exit(1)
    posix._exit(0)


def rehearse():
    """Goes through what each process of a script does before and after it, so that
    the interpreter's caches and specialised instructions are there already: what
    is written after the fork is a page to copy."""
    message = b"\0".join([b"1", b"comm", b"", b"/", b"/dev/null", b"1", b"argument", b"PATH=/bin", b"NAME=value"])
    for _ in range(20):
        rehearsed = Order(message)
        set_environment(rehearsed.env)
        forget_environment()
        for fd, mode in (0, "r"), (1, "w"), (2, "w"):
            stream(fd, likes[fd], "<rehearsal>", mode).detach()
        for socket in _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET):
            socket.close()
        try:
            find_code(rehearsed)
        except ValueError:
            pass
        added()
        flush_fails()
        collect()


def freeze():
    global collections
    gc.freeze()
    collections = gc.get_stats()[1]["collections"]


def serve():
    """Answers Gatehouse, until a process that has forked off has got a request."""
    while True:
        try:
            fields = control.recv(65536).split(b"\0")
        except ConnectionResetError:
            fields = [b""]
        if fields == [b""]:
            posix._exit(0)
        if fields[0] == b"F":
            order = fork_batch(fields[1], int(fields[2]))
            if order is not None:
                return order
        elif fields[0] == b"C":
            keep(fields[1])
            freeze()


def ready():
    """Reads what to preload, does it, and says so. Returns where to report what
    scripts import."""
    fields = control.recv(65536).split(b"\0")
    if fields[:2] != [b"S", b"1"]:
        raise ValueError("unknown beginning: %r" % fields[:2])
    preload([n.decode("ascii", "replace") for n in fields[3:]])
    watch = b"W"
    for path in watched():
        if len(watch) + len(path) > 60000:
            control.send(watch)
            watch = b"W"
        watch += b"\0" + path
    control.send(watch)
    message = b"R\0001"
    for name in known:
        if name not in startup and len(message) + len(name) < 60000:
            message += b"\0" + name.encode("ascii", "replace")
    forget_environment()
    freeze()
    rehearse()
    gc.collect()
    freeze()
    control.send(message)
    return b"\0" + fields[2][1:] if fields[2].startswith(b"@") else fields[2]


def check_start():
    """Refuses to serve where a new interpreter would depend on the request."""
    if sys.flags.inspect:
        raise ValueError("an interpreter that inspects cannot be forked")
    for name in b"HOME", b"PYTHONHOME", b"PYTHONPATH", b"PYTHONUSERBASE", b"PYTHONPYCACHEPREFIX":
        for path in posix.environ.get(name, b"/").split(b":"):
            if not path.startswith(b"/"):
                raise ValueError("%s is relative to a folder: %r" % (name.decode(), path))


def fail(text):
    posix.write(2, b"gatehouse: python: %s\n" % text.encode(encoding, errors))
    posix._exit(1)


gc.disable()
try:
    posix.close(TEXT)
    control = _socket.socket(fileno=CONTROL)
    check_start()
    likes = [(f.encoding, f.errors, f.line_buffering) for f in (sys.stdin, sys.stdout, sys.stderr)]
    unbuffered = isinstance(sys.stdout.buffer, _io.FileIO)
    head, area = command_line(), areas()
    prefixes = tuple({p + "/" for p in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)})
    coerced = coercion()
    given = posix.environ.get(b"PYTHONPATH", b"").decode(encoding, errors).split(":")
    learnable = tuple(p + "/" for p in library if p.startswith(prefixes) and p not in given)
    learn_at = ready()
    order, mem = serve()
except BaseException as e:
    fail("%s: %s" % (type(e).__name__, e))

leave, end = Leave(), End()
status, interrupted = 0, False
try:
    real_stderr = open_streams()
    script = Script(Raw())
    script.flush = prepare(order, mem)
    sys.stderr = First()
except BaseException:
    run_cold(order)
raise leave
