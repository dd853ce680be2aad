//go:build linux

package scripts_test

import (
	"strings"
	"testing"
)

// inPython is the language of the tests of that name.
var inPython = language{python, ".py", pythonEnv, pythonCommon}

var pythonSame = []same{
	{name: "hello", text: `print("hello")`},
	{name: "empty", text: ``},
	{name: "main", text: `"""Doc."""
import __main__, sys, pickle
class C: pass
print({k: v for k, v in globals().items() if k not in ("C", "__loader__")})
print(__main__ is sys.modules["__main__"], __main__.C is C, type(pickle.loads(pickle.dumps(C()))) is C, __loader__.name, __loader__.path)
if __name__ == "__main__": print(list(vars(__main__)))`},
	{name: "no frame beneath", text: `import sys, traceback, inspect
print(sys._getframe().f_back, sys.exc_info(), len(inspect.stack()))
traceback.print_stack()
try: sys._getframe(1)
except ValueError as e: print(e)`},
	{name: "arguments", args: []string{"a b", "", "\xff"}, text: `import sys; print(ascii(sys.argv), ascii(getattr(sys, "orig_argv", 0)), sys.path[0])`},
	{name: "environment", env: []string{"A=1", "B=\xff", "EMPTY=", "A_B=c=d"}, text: `import os, subprocess
print(ascii(dict(os.environ)), dict(os.environb) == {os.fsencode(k): os.fsencode(v) for k, v in os.environ.items()})
print(subprocess.run(["env"], stdout=subprocess.PIPE).stdout)`},
	{name: "streams", stdin: "a\r\nb\n", text: `import sys
for f in sys.stdin, sys.stdout, sys.stderr:
    print(f, f.encoding, f.errors, f.line_buffering, f.write_through, f.buffer, f.newlines, f.fileno(), f.closed, f.seekable())
print(ascii(sys.stdin.read()), sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__)`},
	{name: "unbuffered", options: []string{"-u"}, text: `import sys, os
print(sys.stdout.buffer, sys.stdout.write_through, sys.stdin.buffer); os._exit(3)`},
	{name: "buffered", text: `import os; print("lost"); os._exit(3)`},
	{name: "flags", options: []string{"-I", "-B", "-O", "-Wdefault", "-Xdev"}, text: `import sys
print(sys.flags, sys.path, sys.warnoptions, sys._xoptions, __debug__)`},
	{name: "latin-1", env: []string{"PYTHONIOENCODING=latin-1:replace"}, text: `import sys; print("\xe4\u20ac", sys.stdout.encoding, sys.stdout.errors)`},
	{name: "what the process shows", text: `import os
print(open("/proc/self/comm").read(), open("/proc/self/cmdline").read().rstrip("\0").split("\0"))
print(sorted(os.listdir("/proc/self/fd"))[:4], os.getcwd(), os.umask(0))`},
	{name: "signals", text: `import signal
print([(n, signal.getsignal(n)) for n in range(1, 32) if signal.getsignal(n) not in (signal.SIG_DFL,)])
print([l for l in open("/proc/self/status") if l.startswith(("SigBlk", "SigIgn", "SigCgt"))])`},
	{name: "exit none", text: `import sys; sys.exit()`},
	{name: "exit 3", text: `import sys; sys.exit(3)`},
	{name: "exit -1", text: `import sys; sys.exit(-1)`},
	{name: "exit 256", text: `import sys; sys.exit(256)`},
	{name: "exit text", text: `import sys; sys.exit("no \xe4")`},
	{name: "exit true", text: `raise SystemExit(True)`},
	{name: "exit class", text: `raise SystemExit`},
	{name: "uncaught", text: "def f():\n    raise ValueError('x') from KeyError('y')\nf()"},
	{name: "interrupt", text: `raise KeyboardInterrupt`},
	{name: "own hook", text: `import sys
sys.excepthook = lambda *a: print("hook", a[0], a[2].tb_next, sys.last_value is a[1])
1/0`},
	{name: "hook that fails", text: `import sys
def hook(*a): raise OSError("in hook")
sys.excepthook = hook
1/0`},
	{name: "hook that exits", text: `import sys
sys.excepthook = lambda *a: sys.exit(7)
1/0`},
	{name: "syntax error", text: "print('never')\nif:\n"},
	{name: "syntax error after a warning", text: "if 1 is 1: pass\nreturn\n"},
	{name: "compiles with a warning", text: "if 1 is 1: print('\\d')\n"},
	{name: "no stderr", text: "import sys; sys.stderr = None; sys.exit('text')\n"},
	{name: "strange sys.path", text: "import sys, fractions; sys.path[:] = [1, None, b'/']; print(2)\n"},
	{name: "strange sys.modules", text: "import sys\nclass M:\n  def __getattribute__(s, n): raise OSError(n)\nsys.modules['m'] = M(); sys.modules[1] = 2; del sys.__stdin__; print(3)\n"},
	{name: "not UTF-8", text: "print('\xe4')\n"},
	{name: "declared encoding", text: "# -*- coding: cp1252 -*-\nprint(ascii('\x80'))\n"},
	{name: "byte order mark", text: "\xef\xbb\xbfprint(ascii('\xc3\xa4'))\r\n"},
	{name: "zero byte", text: "print(1)\n\x00"},
	{name: "atexit", text: `import atexit, threading, sys
atexit.register(print, "first registered")
atexit.register(lambda: 1/0)
threading.Thread(target=lambda: (threading.main_thread().join(), print("thread"))).start()
print("end", file=sys.stderr)
sys.exit(4)`},
	{name: "closed stdout", text: `import os; print("x"); os.close(1)`},
	{name: "closed stdout in the script", text: `import sys; sys.stdout.close()`},
	{name: "no stdout", text: `import sys; sys.stdout = None; print("x")`},
	{name: "full", text: `import sys; sys.stdout = open("/dev/full", "w"); print("x")`},
	{name: "files and __del__", text: `import os, sys
path = __file__ + ".out"
f = open(path, "w"); f.write("not closed")
class D:
    def __del__(self): print(open(path).read() if f is None or f.closed else "early", sys.meta_path); os.unlink(path)
def function(): return d
d = D()
os.unlink(path); f = None; open(path, "w").write("written")`},
	{name: "C's stdout", text: `import ctypes, sys; ctypes.CDLL(None).printf(b"from C\n"); sys.exit(5)`},
	{name: "modules at the start", text: `import sys; print(list(sys.modules), len(sys.meta_path), len(sys.path_hooks), sys.flags)`},
	{name: "modules after an import", text: `import sys
import json
print(list(sys.modules)); import email.message; print(list(sys.modules)); import cgi, logging; print(list(sys.modules))
print(json, json.__spec__, json.decoder.__spec__.parent)`},
	{name: "packages show what was imported", text: `import email, xml, importlib, concurrent, sys
for m in email, xml, importlib, concurrent: print(m.__name__, [n for n in vars(m) if n + "" and m.__name__ + "." + n in sys.modules or n in ("message", "dom", "etree", "futures")])
try: xml.dom
except AttributeError as e: print(e)`},
	{name: "loggers", text: `import logging
print(logging.root.manager.loggerDict)
import concurrent.futures
print(sorted(logging.root.manager.loggerDict), logging.getLogger("concurrent").parent, logging.getLogger("concurrent.futures").parent)
import asyncio; print(asyncio.log.logger is logging.getLogger("asyncio"), sorted(logging.root.manager.loggerDict))`},
	{name: "logger of a module that comes later", text: `import logging
a = logging.getLogger("asyncio"); a.setLevel(5)
import asyncio; print(asyncio.log.logger is a, a.level)`},
	{name: "import warns once", text: "import cgi\nimport cgi, pipes\n"},
	{name: "warnings are errors", options: []string{"-Werror"}, text: "import cgi\n"},
	{name: "imports in threads", text: `import threading
def f(): import json, email.parser, logging, decimal; json.dumps([decimal.Decimal(1).__class__.__name__])
ts = [threading.Thread(target=f) for _ in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]; import sys; print(sorted(m for m in sys.modules))`},
	{name: "reload and removal", text: `import sys, importlib, json
a = json.decoder; importlib.reload(json); del sys.modules["json.decoder"]; import json.decoder
print(a is json.decoder, json.decoder.__spec__.name); del sys.modules["json"]; import json; print(json.loads("[1]"))`},
	{name: "import of what is not there", text: "try: import json.nothing\nexcept ImportError as e: print(e)\nimport nothing\n"},
	{name: "own finder", text: `import sys
class F:
    def find_spec(self, name, path, target=None): print("asked for", name)
sys.meta_path.insert(0, F())
import json, html.parser`},
	{name: "module in the way", text: `import sys, types
sys.modules["re"] = types.SimpleNamespace(compile=lambda *a: 1/0)
import string`},
	{name: "collector", text: `import gc
class C: pass
c = C(); c.c = c; del c; gc.collect(); print(gc.isenabled(), gc.get_threshold(), gc.garbage)`},
	{name: "becomes another program", text: `import os; print("lost"); os.execv("/bin/echo", ["echo", "exec"])`},
	{name: "forks", text: `import os, sys
if os.fork() == 0: print("child"); sys.exit(0)
print("parent", os.wait()[1])`},
	{name: "kills itself", text: `import os; os.kill(os.getpid(), 9)`},
	{name: "removes itself", text: `import os; os.remove(__file__); 1/0`},
	{name: "subprocesses", text: `import multiprocessing
def f(n): return n * n
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as p: print(p.map(f, range(4)))
    with multiprocessing.get_context("spawn").Pool(1) as p: print(p.map(f, range(4)))`},
	{name: "deep", text: `import sys
sys.setrecursionlimit(5000)
def f(n): return n and f(n - 1)
print(f(4000), sys.getrecursionlimit())`},
}

// pythonCommon is what the scripts above import of the library, among others.
var pythonCommon = strings.Fields(`json email email.message email.parser cgi pipes logging html.parser string decimal xml.dom.minidom
	xml.etree.ElementTree concurrent.futures random threading traceback inspect pickle subprocess urllib.request http.cookies
	tempfile uuid hashlib ssl ctypes multiprocessing importlib.resources typing asyncio unittest wsgiref.handlers nothing _socket`)

func TestWarmPythonSame(t *testing.T) {
	inPython.testSame(t, pythonSame, func(row *same, r *ran, cold bool) {
		if cold && row.name == "what the process shows" { // the kernel names a process after the file that it was asked for
			r.stdout = strings.Replace(r.stdout, "python3", "script.py", 1)
		}
	})
}
