#!/usr/bin/python3
# trial: warnings how=any PYTHONWARNINGS=always
# trial: optimize how=any PYTHONOPTIMIZE=1
# trial: path how=any PYTHONPATH=/nonexistent
# trial: home how=any HOME=/nonexistent
# trial: nosite how=any PYTHONNOUSERSITE=1
# trial: dontwrite how=any PYTHONDONTWRITEBYTECODE=1
# trial: dev how=any PYTHONDEVMODE=1
# trial: safe how=any PYTHONSAFEPATH=1
# trial: fault how=any PYTHONFAULTHANDLER=1
# trial: trace how=any PYTHONTRACEMALLOC=1
# trial: digits how=any PYTHONINTMAXSTRDIGITS=1000
# trial: cache how=any PYTHONPYCACHEPREFIX=/proc/nonexistent
# trial: inspect how=any PYTHONINSPECT=
# trial: async how=any PYTHONASYNCIODEBUG=1
# trial: malloc how=any PYTHONMALLOC=malloc
# trial: unknown how=any PYTHONSOMETHINGELSE=1
# trial: tz TZ=America/New_York
# trial: tz TZ=Asia/Kolkata
# trial: notz
# trial: tmp TMPDIR=/var/tmp
# mask: 0x([0-9a-f]+)
# Variables that the interpreter itself reads mean what they always mean.
import faulthandler
import os
import site
import sys
import tempfile
import time
import tracemalloc
import warnings

print("Content-Type: text/plain\n")
print(sys.flags, sys.path, sys.warnoptions, sys.pycache_prefix, sys.dont_write_bytecode, __debug__)
print(warnings.filters)
print(faulthandler.is_enabled(), tracemalloc.is_tracing(), getattr(sys, "get_int_max_str_digits", int)())
print(site.ENABLE_USER_SITE, site.USER_BASE, site.USER_SITE, site.getusersitepackages())
print(time.tzname, time.timezone, time.daylight, time.strftime("%c %Z", time.localtime(0)))
print(tempfile.gettempdir(), tempfile.tempdir)
warnings.warn("deprecated here", DeprecationWarning)
