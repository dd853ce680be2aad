# The fork server, continued: the process of a script, from its request to its end.


class Order:
    """A request: what to run, and how."""

    def __init__(self, message):
        fields = message.split(b"\0")
        if fields[0] != b"1":
            raise ValueError("unknown version of a request: %r" % fields[0])
        self.comm, self.tag, self.dir, self.path = fields[1:5]
        end = 6 + int(fields[5])
        self.args, self.env = fields[6:end], [f for f in fields[end:] if f]


def folder_of(path, fd):
    """The folder of a script as sys.path has it: without symbolic links."""
    if fd is not None:
        try:
            real = posix.readlink(b"/proc/self/fd/%d" % fd)
            if real.startswith(b"/") and not real.endswith(b" (deleted)"):
                return (real.rpartition(b"/")[0] or b"/").decode(encoding, errors)
        except OSError:
            pass
    import posixpath

    return posixpath.dirname(posixpath.realpath(path)).decode(encoding, errors)


def areas():
    """Where the kernel finds what ps shows, proc(5): the arguments and the environment."""
    try:
        with _io.open("/proc/self/stat", "rb") as f:
            return [int(n) for n in f.read().rpartition(b")")[2].split()[45:49]]
    except (OSError, ValueError):
        return None


def command_line():
    """The interpreter and its options, as they were given."""
    try:
        with _io.open("/proc/self/cmdline", "rb") as f:
            args = f.read().split(b"\0")[:-1]
        return args[: -len(sys.argv)]
    except OSError:
        return [(sys.executable or "python3").encode(encoding, errors)]


def coercion():
    """The LC_CTYPE that the interpreter itself has put into the environment."""
    value = posix.environ.get(b"LC_CTYPE")
    try:
        with _io.open("/proc/self/environ", "rb") as f:
            return value if value and b"\0LC_CTYPE=" not in b"\0" + f.read() else None
    except OSError:
        return None


def show(order, mem):
    """Has ps, and whoever looks for a tag, see the script instead of the helper."""
    try:
        fd = posix.open("/proc/self/comm", posix.O_WRONLY | posix.O_CLOEXEC)
        posix.write(fd, order.comm[:15])
        posix.close(fd)
    except OSError:
        pass
    if mem < 0:
        return
    start, end, env_start, env_end = area
    args = b"\0".join(head + [order.path] + order.args) + b"\0"
    room = env_end - env_start - 1
    env = b"\0".join(order.env)
    if len(env) > room:
        rest = [e for e in order.env if e != order.tag]
        env = b"\0".join([order.tag] + rest if order.tag else rest)
        env = env[:room]
    try:
        if end == env_start:
            posix.pwrite(mem, args[: end - start - 1].ljust(end - start, b"\0") + env.ljust(room + 1, b"\0"), start)
        else:
            posix.pwrite(mem, args[: end - start - 1].ljust(end - start, b"\0"), start)
            posix.pwrite(mem, env.ljust(room + 1, b"\0"), env_start)
    except OSError:
        pass
    posix.close(mem)


def forget_environment():
    for key in posix.environ:
        posix.unsetenv(key)
    posix.environ.clear()
    if "os" in startup:
        startup["os"].environ._data.clear()


def set_environment(env):
    into = startup["os"].environ._data if "os" in startup else posix.environ
    for each in env:
        key, equals, value = each.partition(b"=")
        if equals and key:
            posix.putenv(key, value)
            into.setdefault(key, value)
    if coerced and b"LC_CTYPE" not in into:  # PEP 538
        posix.putenv(b"LC_CTYPE", coerced)
        into[b"LC_CTYPE"] = coerced
    if into is not posix.environ:
        posix.environ.update(into)


def stream(fd, like, name, mode):
    """A standard stream as the interpreter makes it at its start."""
    raw = buffer = _io.open(fd, mode + "b", 0 if unbuffered and mode == "w" else -1, None, None, None, False)
    if buffer is not None and not isinstance(buffer, _io.FileIO):
        raw = buffer.raw
    raw.name = name
    line = not unbuffered and (like[2] or raw.isatty())
    text = _io.TextIOWrapper(buffer, like[0], like[1], "\n", line, unbuffered)
    text.mode = mode
    return text


def open_streams():
    sys.stdin = sys.__stdin__ = stream(0, likes[0], "<stdin>", "r")
    sys.stdout = sys.__stdout__ = stream(1, likes[1], "<stdout>", "w")
    sys.__stderr__ = stream(2, likes[2], "<stderr>", "w")
    return sys.__stderr__


def find_code(order):
    """Returns the script's code and its folder. Whatever is not a plain script
    raises, and is left to the interpreter itself."""
    fd = posix.open(order.path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        st = posix.fstat(fd)
        folder = folder_of(order.path, fd)
        was = kept.get(order.path)
        if was is not None and was[0] == stamp(st):
            return was[1], folder
        if st.st_mode & 0o170000 != 0o100000 or order.path.endswith(b".pyc"):
            raise ValueError("not a script")
        with _io.open(fd, "rb", closefd=False) as f:
            source = f.read()
    finally:
        posix.close(fd)
    # Its warnings wait: a script that does not compile is run cold, and gives them again.
    sys.stderr, stderr = _io.StringIO(), sys.stderr
    try:
        code = compile(source, order.path.decode(encoding, errors), "exec", dont_inherit=True)
        warned = sys.stderr.getvalue()
    finally:
        sys.stderr = stderr
    if warned:
        sys.__stderr__.write(warned)
    return code, folder


def run_cold(order):
    """Becomes a new interpreter: for scripts that do not compile, and the like."""
    for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):
        if hasattr(_signal, name):
            _signal.signal(getattr(_signal, name), _signal.SIG_DFL)
    env = {}
    for each in order.env:
        key, equals, value = each.partition(b"=")
        if equals and key:
            env.setdefault(key, value)
    posix.execve(sys.executable or "/proc/self/exe", head + [order.path] + order.args, env)


def prepare(order, mem):
    """Makes this process what a new interpreter is before its script's first line."""
    try:
        posix.chdir(order.dir)
    except OSError as e:
        posix.write(2, b"gatehouse: cannot enter %s: %s\n" % (order.dir, e.strerror.encode()))
        posix._exit(126)
    show(order, mem)
    set_environment(order.env)
    code, folder = find_code(order)
    path = order.path.decode(encoding, errors)
    sys.argv[:] = [path] + [a.decode(encoding, errors) for a in order.args]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = [a.decode(encoding, errors) for a in head] + sys.argv
    global script_folder
    script_folder = folder
    if not safe_path:
        sys.path.insert(0, folder)
    sys.path_importer_cache[path] = None
    main = type(sys)("__main__")
    names = main.__dict__
    names.clear()
    names.update(fresh)
    names["__file__"] = path
    names["__loader__"] = type(fresh["__loader__"])("__main__", path)
    if "__annotations__" in names:
        names["__annotations__"] = {}
    modules["__main__"] = main
    return _functools.partial(exec, code, names)


class End(BaseException):
    """Takes the place of the script's exception on the way out."""


class Raw(_io._RawIOBase):
    def writable(self):
        return True

    def close(self):
        global real_stdout
        super().close()
        real_stdout, sys.stdout = sys.stdout, Last()
        raise end


class Script(_io.BufferedWriter):
    """Its close calls flush, which is the script, and then the close of its raw
    file, whose exception gets the script's as its context: both from C, so that
    no frame is beneath the script's and nothing of it is lost."""


class First:
    """Stands for sys.stderr when the main program of the helper has ended, and
    the interpreter is about to flush its streams."""

    @property
    def flush(self):
        sys.stderr = real_stderr
        gc.enable()
        return script.close


class Last:
    """Stands for sys.stdout, which is flushed next: what is called for that is
    atexit's list, from C as well."""

    @property
    def flush(self):
        global real_stdout, real_stderr
        sys.stdout = real_stdout
        real_stdout = real_stderr = None
        del script.flush
        end_main()
        return atexit._run_exitfuncs


class Leave(SystemExit):
    """What the helper's main program ends with. The interpreter then asks it for
    its exit status."""

    @property
    def code(self):
        return end_process()


def end_main():
    """What the interpreter does when its main program has ended, up to the list
    of atexit."""
    global status, interrupted
    exception, end.__context__, end.__traceback__ = end.__context__, None, None
    for name in ("stderr", "stdout"):
        try:
            getattr(sys, name).flush()
        except BaseException:
            pass
    if exception is not None:
        interrupted = type(exception) is KeyboardInterrupt
        status = report(exception)
        del exception
    if "threading" in modules:
        try:
            modules["threading"]._shutdown()
        except BaseException as e:
            unraisable(modules["threading"], e)


def end_process():
    """What it does then, unless something is in its way that it tells of itself:
    streams that cannot be flushed. What C programs print is its to write out, too."""
    global status
    if flush_fails() or "_ctypes" in modules or "_cffi_backend" in modules:
        return status
    try:
        names = new_names() if learn_at else []
    except Exception:  # whatever the script has made of sys.modules
        names = []
    try:
        clear()
    except Exception:
        pass
    if flush_fails():
        status = 120
    if names:
        tell(names)
    if interrupted:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        posix.kill(posix.getpid(), _signal.SIGINT)
    posix._exit(status & 0xFF)


def flush_fails():
    """Whether a standard stream cannot be flushed. The data stays where it is."""
    failed = False
    for name in ("stdout", "stderr"):
        file = getattr(sys, name, None)
        try:
            if file is not None and not getattr(file, "closed", False):
                file.flush()
        except BaseException:
            failed = True
    return failed


def report(exception):
    """Shows an exception that nobody has caught, and returns the exit status."""
    if isinstance(exception, SystemExit) and not sys.flags.inspect:
        return exit_status(exception)
    kind, trace = type(exception), exception.__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = kind, exception, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = exception
    hook = getattr(sys, "excepthook", None)
    try:
        if hook is None:
            posix.write(2, b"sys.excepthook is missing\n")
            hook = sys.__excepthook__
        hook(kind, exception, trace)
    except SystemExit as e:
        return exit_status(e)
    except BaseException as e:
        say("Error in sys.excepthook:\n")
        e.__traceback__ = e.__traceback__.tb_next
        sys.__excepthook__(type(e), e, e.__traceback__)
        say("\nOriginal exception was:\n")
        sys.__excepthook__(kind, exception, trace)
    return 1


def say(text):
    file = getattr(sys, "stderr", None)
    try:
        if file is None:
            posix.write(2, text.encode(encoding, "backslashreplace"))
        else:
            file.write(text)
    except BaseException:
        pass


def exit_status(exception):
    code = exception.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(2**63) <= code < 2**63 else 0xFF
    try:
        say(str(code))
    except BaseException:
        pass
    say("\n")
    return 1


def unraisable(thing, exception):
    say("Exception ignored in: %r\n" % (thing,))
    sys.__excepthook__(type(exception), exception, exception.__traceback__.tb_next)


def collect():
    """Collects all that is not frozen. The oldest generation is looked at only
    when there is something in it, as that also empties the free lists."""
    if sys.version_info < (3, 14) and gc.get_stats()[1]["collections"] == collections:
        gc.collect(1)
    else:
        gc.collect()


def clear():
    """Drops what the script made, so that files are written out and __del__ is
    called, and leaves alone what was there before it."""
    if gc.isenabled():
        collect()
    for name in ("path", "argv", "ps1", "ps2", "last_exc", "last_type", "last_value", "last_traceback", "path_hooks",
                 "path_importer_cache", "meta_path", "__interactivehook__"):
        if hasattr(sys, name):
            setattr(sys, name, None)
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    for name in added():
        if name not in published or published[name].module is not modules[name]:
            modules[name] = None
    modules["__main__"] = None
    modules["io"] = None  # with which a traceback would show a line of its source
    for name in later_builtins:
        vars(builtins).pop(name, None)
    collect()


def added():
    """What is in sys.modules since the start. It comes last there, and the modules
    before it are not touched: each would be a page to copy."""
    names = []
    for name in reversed(modules):
        if name in startup and startup[name] is modules[name]:
            break
        names.append(name)
    return names[::-1]


def new_names():
    """The modules that this script has loaded from the library's folders."""
    names = []
    for name in added():
        if not isinstance(name, str) or name in known or name.partition(".")[0] in REFUSED:
            continue
        spec = getattr(modules[name], "__spec__", None)
        origin = getattr(spec, "origin", None)
        if origin in ("built-in", "frozen") or isinstance(origin, str) and origin.startswith(learnable):
            if not origin.startswith(script_folder + "/"):
                names.append(name)
    return names


def tell(names):
    message, size = [b"L"], 1
    for name in names:
        name = name.encode("ascii", "replace")
        if len(name) <= 128 and b"?" not in name and size + 1 + len(name) <= 8192:
            message.append(name)
            size += 1 + len(name)
    try:
        to = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    except OSError:
        return
    try:
        to.sendto(b"\0".join(message), _socket.MSG_DONTWAIT, learn_at)
    except OSError:
        pass
    to.close()
