# The fork server, continued: what is hidden from scripts until they import it.

hidden = {}  # name: Hidden, of modules that are loaded and not in sys.modules
known = {}  # names that no process need report
published = {}  # name: Hidden, of those that the script has imported


class Hidden:
    """A module that is loaded and waits for a script to import it."""

    __slots__ = ("name", "module", "order", "parent", "child", "warns", "exits", "loggers", "fix")


def preload(names):
    """Loads names and hides them. What no trial has passed is not loaded."""
    names = [n for n in names if n.partition(".")[0] not in REFUSED and n not in startup]
    result = trial(names) if names else ([], {})
    if result is None:
        names, result = [], (names, {})
    bad, warns = result
    loader = Loader()
    loader.load([n for n in names if n not in bad])
    for name in ("_functools", "_signal", "_socket", "_thread", "_warnings", "atexit", "gc", "marshal", "posix", "time"):
        if name in modules and name not in startup:
            loader.needs.setdefault(name, [])
    for name in bad:
        known[name] = True
    registry = loggers()
    for name, module in list(modules.items()):
        known[name] = True
        if name not in startup:
            hide(name, module, loader, warns, registry)
    for name in [n for names in loader.loggers.values() for n in names]:
        del registry[name]
    for name in [n for n, h in hidden.items() if not all(o in hidden for o in h.order)]:
        del hidden[name]
    for key in set(sys.path_importer_cache) - finders:
        del sys.path_importer_cache[key]
    detach()
    bootstrap._ModuleLockManager = manager


def hide(name, module, loader, warns, registry):
    del modules[name]
    h = Hidden()
    h.name, h.module, h.fix = name, module, FIXES.get(name)
    h.order = tuple(loader.order(name, {}))
    h.warns, h.exits = warns.get(name, ()), loader.exits.get(name, ())
    h.loggers = [(n, registry[n]) for n in loader.loggers.get(name, ()) if hasattr(registry[n], "parent")]
    hidden[name] = h


def detach():
    """Takes the names of hidden modules out of their packages."""
    for h in hidden.values():
        h.parent = None
        package, _, h.child = h.name.rpartition(".")
        if package:
            h.parent = startup[package] if package in startup else hidden[package].module
            if h.parent.__dict__.get(h.child) is h.module:
                delattr(h.parent, h.child)


lock_manager = bootstrap._ModuleLockManager
meta_path, path_hooks, library = list(sys.meta_path), list(sys.path_hooks), list(sys.path)
checked = None  # the sys.path of which it is known that nothing in it comes before a hidden module


class Nothing:
    def __enter__(self):
        pass

    def __exit__(self, *exc):
        pass


nothing = Nothing()


def manager(name):
    """Stands for importlib's lock manager, the first that an import of what is
    not in sys.modules asks for. When it returns no frame of it is left."""
    if name in hidden and name not in modules and publish(name):
        return nothing
    return lock_manager(name)


def publish(name):
    """Puts a hidden module and what it needs into sys.modules, or returns False
    when a search of sys.path might find another: then nothing is hidden any more."""
    _imp.acquire_lock()  # which a fork waits for as well
    try:
        if name in hidden and not publish_all(name):
            hidden.clear()
    finally:
        _imp.release_lock()
    return name in modules


def publish_all(name):
    order = []
    ok = same_search()
    for each in hidden[name].order if ok else ():
        h = hidden.get(each)
        if h is None:
            ok = each in published and modules.get(each) is published[each].module
        elif each in modules or h.loggers and not may_log(h):
            ok = False
        else:
            order.append(h)
        if not ok:
            break
    if not ok:
        return False
    for h in order:
        if h is order[-1] and h.warns:
            try:
                repeat(h.warns)
            except Warning:
                return False  # a filter makes it an error: the import itself is to raise it
        for func, args, kwargs in h.exits:
            atexit.register(func, *args, **kwargs)
        if h.loggers:
            log(h)
        if h.fix is not None:
            h.fix(h.module)
        modules[h.name] = h.module
        published[h.name] = h
        if h.parent is not None:
            setattr(h.parent, h.child, h.module)
        del hidden[h.name]
    return True


def logging_module():
    return modules["logging"] if "logging" in modules else hidden["logging"].module


def may_log(h):
    """Whether a module would make the loggers now that it has."""
    logging = logging_module()
    manager = logging.Logger.manager
    if logging.getLoggerClass() is not logging.Logger or manager.loggerClass is not None:
        return False
    return not any(isinstance(manager.loggerDict.get(name), logging.Logger) for name, _ in h.loggers)


def log(h):
    """Registers a module's loggers, as logging.getLogger does."""
    manager = logging_module().Logger.manager
    for name, logger in h.loggers:
        had = manager.loggerDict.get(name)
        manager.loggerDict[name] = logger
        if had is not None:
            manager._fixupChildren(had, logger)
        manager._fixupParents(logger)


def repeat(warns):
    """Gives the warnings of an import to the line that has it."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename == SELF or "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    names = frame.f_globals
    for message, category in warns:
        _warnings.warn_explicit(message, getattr(builtins, category), frame.f_code.co_filename, frame.f_lineno,
                                names.get("__name__") or "<string>", names.setdefault("__warningregistry__", {}))


def same_search():
    """Whether sys.path and what searches it find a hidden module first."""
    global checked
    if sys.path == checked:
        return sys.meta_path == meta_path and sys.path_hooks == path_hooks
    if sys.meta_path != meta_path or sys.path_hooks != path_hooks:
        return False
    if [e for e in sys.path if e in library] != library:
        return False
    for entry in sys.path:
        if type(entry) is not str or entry not in library and not free(entry or "."):
            return False
    checked = list(sys.path)
    return True


def free(folder):
    """Whether nothing in a folder has a hidden module's name. The library's own
    folders are not looked at: Gatehouse watches them."""
    try:
        names = kept_names.get(folder)
        if names is None or names[0] != stamp(posix.stat(folder)):
            names = None, posix.listdir(folder)
    except (FileNotFoundError, PermissionError):
        return True  # importlib finds nothing there either
    except OSError:
        return False  # an archive, it may be
    for name in names[1]:
        if name.partition(".")[0] in hidden:
            return False
    return True


def watched():
    """The files that this process has loaded as modules, and the folders in which
    modules are searched; with a slash at its end, one that is not there yet."""
    paths = {}
    folders = list(library)
    site = startup.get("site")
    if site is not None:
        folders += site.getsitepackages()
        if site.ENABLE_USER_SITE and site.USER_SITE:
            folders.append(site.USER_SITE)
    every = list(modules.values()) + [h.module for h in hidden.values()]
    for module in every:
        spec = getattr(module, "__spec__", None)
        if getattr(spec, "has_location", False) and isinstance(spec.origin, str):
            paths[spec.origin] = True
        folders += [f for f in getattr(spec, "submodule_search_locations", None) or () if isinstance(f, str)]
    if sys.prefix != sys.base_prefix:
        paths[sys.prefix + "/pyvenv.cfg"] = True
    for folder in folders:
        try:
            posix.stat(folder)
            paths[folder] = True
        except OSError:
            paths[folder.rstrip("/") + "/"] = True
    return [path.encode(encoding, errors) for path in paths if path.startswith("/")]


# The scripts whose code is kept.

kept = {}  # path: stamp, code, size of the source
kept_names = {}  # folder of such a script: its stamp, names in it that matter


def keep(path):
    """Compiles a script for those that come after it. One that cannot be compiled
    without a word is not kept: each run is to say so."""
    now = time.time_ns()
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        with _io.open(fd, "rb") as f:
            st = posix.fstat(fd)
            if st.st_mode & 0o170000 != 0o100000 or st.st_size > KEPT_BYTES or not settled(st, now):
                return
            source = f.read(KEPT_BYTES + 1)
        if len(source) != st.st_size or not plain(source):
            return
        _warnings.filters.insert(0, ("error", None, Warning, None, 0))
        mutated()
        before = set(modules)
        try:
            code = compile(source, path.decode(encoding, errors), "exec", dont_inherit=True)
        finally:
            del _warnings.filters[0]
            mutated()
            loaded = set(modules) - before  # unicodedata, for "\N{...}"
            for name in loaded:
                del modules[name]
        if loaded:
            return
        kept.pop(path, None)
        kept[path] = stamp(st), code, len(source)
        while len(kept) > KEPT_SCRIPTS or sum(k[2] for k in kept.values()) > KEPT_BYTES:
            del kept[next(iter(kept))]
        keep_names(folder_of(path, fd=None), now)
    except Exception:
        pass


def plain(source):
    """Whether the source needs no codec that is loaded for it."""
    head = b"\n".join(source.split(b"\n", 2)[:2])
    return b"coding" not in head or b"utf-8" in head.lower() or b"latin-1" in head.lower()


def keep_names(folder, now):
    try:
        st = posix.stat(folder)
        if settled(st, now):
            kept_names[folder] = stamp(st), [n for n in posix.listdir(folder) if n.partition(".")[0] in hidden]
    except OSError:
        return
    while len(kept_names) > KEPT_SCRIPTS:
        del kept_names[next(iter(kept_names))]
