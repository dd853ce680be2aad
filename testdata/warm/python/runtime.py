#!/usr/bin/python3
# The interpreter's switches are at their defaults.
import atexit
import codecs
import copyreg
import decimal
import gc
import locale
import logging
import mimetypes
import re
import socket
import string
import sys
import threading
import time
import types

print("Content-Type: text/plain\n")
print(sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks, gc.garbage)
print(sys.gettrace(), sys.getprofile(), sys.displayhook is sys.__displayhook__, sys.excepthook is sys.__excepthook__,
      sys.unraisablehook is sys.__unraisablehook__, sys.breakpointhook is sys.__breakpointhook__)
print([hasattr(sys, n) for n in ("ps1", "last_type", "last_value", "tracebacklimit", "exitfunc", "_git", "last_traceback")])
print(sys.getallocatedblocks() > 0, sys.is_finalizing(), sys.call_tracing is not None, sys.get_asyncgen_hooks(), sys.get_coroutine_origin_tracking_depth())
print(atexit._ncallbacks(), threading.excepthook is getattr(threading, "__excepthook__", threading.excepthook), threading.stack_size())
print(decimal.getcontext(), locale.setlocale(locale.LC_ALL), locale.localeconv()["decimal_point"])
print(logging.root.handlers, logging.root.level, logging.Logger.manager.loggerDict, logging.lastResort)
print(mimetypes.inited, socket.getdefaulttimeout(), string.capwords("a b"))
print(sorted(k.__name__ for k in copyreg.dispatch_table), copyreg._extension_registry)
print(time.strftime("%Y", time.gmtime(0)), time.tzname)
print(sorted(dir(__builtins__)))
print(sorted(n for n, m in sys.modules.items() if not isinstance(m, types.ModuleType)))
print(exit, quit, credits.__class__, help)
print([codecs.lookup(c).name for c in ("utf8", "latin1", "ascii", "idna", "cp1252", "rot13")])
print(sys.intern("x") is "x".strip(), (lambda: 0).__module__, type("T", (), {}).__module__)
print(re.compile("x").flags, re.purge())
