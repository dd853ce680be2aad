# The Python fork server: a Python that has started once, and forks for each
# request a process that runs a script as its main program, so that the script
# cannot tell it from a new interpreter. ARCHITECTURE.md has the protocol. It
# needs Python 3.8 or later, and of its library only what is built in: what is
# imported here must neither be seen by scripts nor cost them page faults.
#
# It is one program in four files: load.py, hide.py, script.py and helper.py.
# This one loads modules ahead.
fresh = dict(globals())  # what __main__ holds in a new interpreter, in its order

import sys

if sys.version_info < (3, 8):
    sys.exit("gatehouse: python: 3.8 or later is needed, this is %d.%d" % sys.version_info[:2])
safe_path = sys.flags.isolated or getattr(sys.flags, "safe_path", False)
if not safe_path:
    del sys.path[0]  # the folder of this file, which is no script's
modules = sys.modules
startup = dict(modules)  # what a new interpreter has loaded before its script
sys.path_importer_cache.pop(__file__, None)
later_builtins = "open exit quit copyright credits license help".split()  # which it drops before it collects what is left
finders = set(sys.path_importer_cache)

import _frozen_importlib as bootstrap
import _functools
import _imp
import _io
import _signal
import _socket
import _thread
import _warnings
import atexit
import builtins
import gc
import marshal
import posix
import time

SELF = __file__
CONTROL, TEXT = 3, 4  # descriptors
KEPT_SCRIPTS, KEPT_BYTES = 64, 8 << 20
SETTLED = 2 * 10**9  # age in ns of a file, below which a later write may not show in its times

# Modules that are not preloaded. The first line starts threads, takes over a
# terminal or holds what two processes must not share; the second changes the
# interpreter for all that follows; the third differs from site to site.
REFUSED = frozenset((
    "multiprocessing ctypes _ctypes readline rlcompleter curses _curses tkinter _tkinter turtle idlelib faulthandler "
    "distutils setuptools pip pkg_resources _distutils_hack antigravity this test lib2to3 tracemalloc __main__ "
    "site sitecustomize usercustomize"
).split())


def fix_logging(module):
    if hasattr(module, "_startTime"):  # in nanoseconds since 3.13
        module._startTime = type(module._startTime)(time.time_ns() / (1 if isinstance(module._startTime, int) else 1e9))


def fix_threading(module):
    main = module.main_thread()
    main._stderr = sys.stderr
    if hasattr(main, "_set_native_id"):
        main._set_native_id()


# What a module took from the process that loaded it, put right when a script
# imports it. random seeds itself after each fork.
FIXES = {"logging": fix_logging, "threading": fix_threading}

# Modules with containers that others fill, to no effect that a script sees.
CACHES = frozenset("re copyreg copy linecache".split())

encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


def stamp(st):
    return st.st_dev, st.st_ino, st.st_mtime_ns, st.st_ctime_ns, st.st_size


def settled(st, now):
    return now - max(st.st_mtime_ns, st.st_ctime_ns) > SETTLED


def same_for_all(key):
    """Whether every request to this helper has the same value of a variable."""
    return key in ("PATH", "HOME", "LANG", "LANGUAGE", "TZ") or key.startswith(("LC_", "PYTHON", "PERL", "LD_"))


class Loader:
    """Imports modules and writes down what each asked for, so that a later
    import can show exactly those in sys.modules that it would have loaded."""

    action = "ignore"  # with warnings

    def __init__(self):
        self.stack = []  # modules whose import is under way
        self.needs = {}  # what each imported while it was loaded, in order
        self.exits = {}  # its calls of atexit.register
        self.loggers = {}  # the names of those that it made
        self.loaded = set()  # what there is at the end
        self.find, self.ask, self.register = bootstrap._find_and_load, builtins.__import__, atexit.register

    def load(self, names):
        bootstrap._find_and_load, builtins.__import__, atexit.register = self.find_and_load, self.import_, self.exit
        _warnings.filters.insert(0, (self.action, None, Warning, None, 0))
        mutated()
        try:
            for name in names:
                try:
                    self.ask(name)
                except BaseException:  # SystemExit as well: a script would meet it again
                    pass
        finally:
            del _warnings.filters[0]
            mutated()
            bootstrap._find_and_load, builtins.__import__, atexit.register = self.find, self.ask, self.register
            self.loaded = set(modules)

    def need(self, name):
        if self.stack:
            self.needs[self.stack[-1]].append(name)

    def find_and_load(self, name, import_):
        self.need(name)
        before = set(modules)
        self.stack.append(name)
        self.needs[name] = []
        try:
            self.enter(name)
            return self.find(name, import_)
        finally:
            self.leave(name)
            self.stack.pop()
            made = self.loggers.values()
            new = [n for n in loggers() if not any(n in names for names in made)]
            if new:
                self.loggers[name] = new
            for alias in modules:  # put there by the module itself, such as typing.io
                if alias not in before and alias not in self.needs:
                    self.needs[alias] = []
                    self.needs[name].append(alias)

    def import_(self, name, globals=None, locals=None, fromlist=(), level=0):
        result = self.ask(name, globals, locals, fromlist, level)
        if self.stack:
            if level > 0:
                name = bootstrap._resolve_name(name, bootstrap._calc___package__(globals), level)
            self.need(name)
            for part in fromlist or ():
                sub = "%s.%s" % (name, part)
                if sub in modules and getattr(modules.get(name), part, None) is modules[sub]:
                    self.need(sub)
        return result

    def exit(self, func, *args, **kwargs):
        if not self.stack:
            return self.register(func, *args, **kwargs)
        self.exits.setdefault(self.stack[-1], []).append((func, args, kwargs))
        return func

    def enter(self, name):
        pass

    def leave(self, name):
        pass

    def order(self, name, into):
        """Appends what an import of name loads, in the order in which
        sys.modules has it afterwards: a module comes after what it needs."""
        if name in into or name in startup or name not in self.loaded:
            return into
        into[name] = None  # against circles
        for need in ancestors(name) + self.needs.get(name, []):
            for each in ancestors(need) + [need]:
                self.order(each, into)
        del into[name]
        into[name] = None
        return into


def loggers():
    """The registry of the logging module, and of it what an import may show."""
    logging = modules.get("logging")
    return logging.Logger.manager.loggerDict if hasattr(logging, "Logger") and hasattr(logging.Logger, "manager") else {}


def ancestors(name):
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def mutated():
    """Tells the interpreter that warnings.filters has changed."""
    if hasattr(_warnings, "_filters_mutated"):
        _warnings._filters_mutated()
    else:  # 3.14
        _warnings._acquire_lock()
        _warnings._filters_mutated_lock_held()
        _warnings._release_lock()


class Trial(Loader):
    """Runs in a process of its own and finds out which modules have an effect
    at import, or keep something of the process that imports them."""

    action = "always"

    def __init__(self):
        Loader.__init__(self)
        self.bad = {}  # name: why
        self.warns = {}  # name: warnings meant for whoever imports it
        self.before = []
        self.containers = []  # of modules that are loaded: module, name, container, its length
        self.watch()

    def taint(self, why):
        if self.stack and self.stack[-1] not in FIXES:
            self.bad.setdefault(self.stack[-1], why)

    def watch(self):
        import os, warnings

        warnings.showwarning = self.warning
        trial, environ = self, os.environ

        class Watched(type(environ)):
            def __init__(self):
                self.__dict__.update(environ.__dict__)

            def __getitem__(self, key):
                if not same_for_all(key):
                    trial.taint("reads the environment")
                return super().__getitem__(key)

            def __setitem__(self, key, value):
                trial.taint("changes the environment")
                super().__setitem__(key, value)

            def __iter__(self):
                trial.taint("reads the environment")
                return super().__iter__()

            def copy(self):
                return dict(self)

        os.environ = Watched()
        for module, names in ((os, "getcwd getcwdb getpid getppid urandom umask chdir fork"),
                              (time, "time time_ns monotonic perf_counter localtime gmtime")):
            for name in names.split():
                setattr(module, name, self.watched(getattr(module, name), name))
        sys.addaudithook(self.audit)

    def watched(self, func, name):
        def call(*args, **kwargs):
            self.taint("calls " + name)
            return func(*args, **kwargs)

        return call

    def audit(self, event, args):
        if event == "open" and isinstance(args[0], str):
            loads = args[0].endswith((".py", ".pyc", ".so", ".zip")) or "/__pycache__/" in args[0]
            if not loads and not args[0].startswith("/proc/"):
                self.taint("opens " + args[0])
        elif event.startswith(("socket.", "subprocess.", "ctypes.", "os.exec", "os.fork", "os.system", "os.putenv")):
            self.taint("does " + event)

    def state(self):
        """What no import should change."""
        return [
            [sys.getrefcount(f) for f in (sys.stdin, sys.stdout, sys.stderr)],
            [posix.listdir("/proc/self/fd"), posix.listdir("/proc/self/task")],
            [_signal.getsignal(n) for n in range(1, _signal.NSIG) if n not in (32, 33)],
            list(sys.path), list(sys.meta_path), list(sys.path_hooks), list(sys.argv), len(_warnings.filters),
            [sys.excepthook, sys.displayhook, sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold()],
            posix.getcwd(), len(vars(builtins)),
        ]

    def enter(self, name):
        self.before.append(self.state())

    def leave(self, name):
        # What a module beneath this one did is taken to be this one's as well,
        # which is so: it imports that one.
        before, now = self.before.pop(), self.state()
        if name in FIXES:
            before[0] = now[0]
            for state in self.before:
                state[0] = now[0]
        if before != now:
            self.bad.setdefault(name, "changes the process")
        for each in self.containers:
            if len(each[2]) != each[3]:
                each[3] = len(each[2])
                if each[0].strip("_").partition(".")[0] != name.strip("_").partition(".")[0]:
                    self.bad.setdefault(name, "changes %s.%s" % (each[0], each[1]))
        if name in modules and name not in CACHES:
            for key, value in vars(modules[name]).items() if type(modules[name]) is type(sys) else ():
                if type(value) in (dict, list, set) and key != "__builtins__":
                    self.containers.append([name, key, value, len(value)])

    def warning(self, message, category, filename, lineno, file=None, line=None):
        """Keeps what is shown only to a script that imports the module itself.
        The frame above an import is find_and_load's, in this file."""
        quiet = issubclass(category, (DeprecationWarning, PendingDeprecationWarning, ImportWarning))
        if not quiet or sys.warnoptions:
            self.taint("warns")
        elif self.stack and filename == SELF:
            self.warns.setdefault(self.stack[-1], []).append((str(message), category.__name__))


def trial(names):
    """Returns the names that must not be preloaded and the warnings to repeat,
    or None when the trial itself went wrong: then nothing is preloaded."""
    r, w = posix.pipe()
    pid = posix.fork()
    if pid == 0:
        try:
            posix.close(r)
            posix.close(CONTROL)
            _signal.alarm(8)  # an import that hangs
            t = Trial()
            t.load(names)
            bad = set(t.bad) | {n for n in t.needs if n.partition(".")[0] in REFUSED}
            bad = [n for n in t.needs if bad.intersection(t.order(n, {}))]
            with _io.open(w, "wb") as f:
                f.write(marshal.dumps((bad, t.warns)))
        finally:
            posix._exit(0)
    posix.close(w)
    with _io.open(r, "rb") as f:
        found = f.read()
    posix.waitpid(pid, 0)
    return marshal.loads(found) if found else None
