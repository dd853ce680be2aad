# The smallest fork server that speaks the warm protocol, for tests of the other end.
# It forgoes all that makes a script believe in a fresh interpreter.
import os, signal, socket, sys

control = socket.socket(fileno=3)
os.close(4)


def fields(message):
    return message.split(b"\0")


def regions():
    stat = open("/proc/self/stat", "rb").read()
    return [int(n) for n in stat[stat.rindex(b")") + 2:].split()[45:49]]  # fields 48 to 51


def blocks(batch):
    """Forks one spare; it returns only in the spare, with its request."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        ours.close(), theirs.close()
        return None
    os.setsid()
    socket.send_fds(control, [b"P\0" + batch], [theirs.fileno()])
    theirs.close(), control.close()
    memory = os.open("/proc/self/mem", os.O_WRONLY)
    for fd in 0, 1, 2:
        os.close(fd)
    message, files, _, _ = socket.recv_fds(ours, 65536, 3)
    if not message:
        os._exit(0)
    ours.close()
    for fd in files:
        os.set_inheritable(fd, True)
    return message, memory


def prepare(message, memory):
    _, comm, _, folder, path, argc, *rest = fields(message)
    args, env = rest[:int(argc)], rest[int(argc):]
    _, _, env_start, env_end = AREAS
    os.pwrite(memory, b"\0".join([*env, b""]).ljust(env_end - env_start, b"\0")[:env_end - env_start], env_start)
    os.close(memory)
    open("/proc/self/comm", "wb").write(comm)
    os.chdir(folder)
    return [path, *args], env


def shell(message, memory, learn):
    """Has the shell run the script, whatever its first line says."""
    args, env = prepare(message, memory)
    for number in signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
    os.execve("/bin/sh", [b"sh", b"-c", open(args[0], "rb").read(), *args], dict(v.split(b"=", 1) for v in env))


def tell(message, memory, learn):
    """Writes how the helper was set up."""
    prepare(message, memory)
    os.write(1, repr((learn, names)).encode())
    os._exit(0)


def run(message, memory, learn):
    args, env = prepare(message, memory)
    os.environb.clear()
    os.environb.update(v.split(b"=", 1) for v in env)
    sys.argv = [os.fsdecode(a) for a in args]
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
    status = 0
    try:
        exec(compile(open(args[0]).read(), sys.argv[0], "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        status = end.code or 0
    sys.stdout.flush()
    names = [n for n in sys.modules if n not in KNOWN]
    if learn and names:
        to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            to.sendto(b"\0".join([b"L", *(n.encode() for n in names)]), learn.replace(b"@", b"\0", 1))
        except ConnectionRefusedError:  # the helper has been replaced
            pass
    os._exit(status)


_, _, learn, *names = fields(control.recv(65536))
for name in filter(None, names):
    try:
        __import__(name.decode())
    except ImportError:
        pass
AREAS = regions()
KNOWN = set(sys.modules) | {"__main__"}
files = [m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None) and m.__name__ != "__main__"]
folders = [f + "/" for f in sys.path if f]
control.send(b"\0".join([b"W", *{f.encode() for f in files + folders}]))
control.send(b"\0".join([b"R", b"1", *(n.encode() for n in sorted(KNOWN))]))
while True:
    order = fields(control.recv(65536))
    if order == [b""]:
        os._exit(0)
    if order[0] != b"F":
        continue
    _, batch, count = order
    pid = os.fork()
    if not pid:
        for _ in range(int(count)):
            work = blocks(batch)
            if work:
                run(*work, learn)
        os._exit(0)
    os.waitpid(pid, 0)
    control.send(b"\0".join([b"F", batch, count, b""]))
