#!/usr/bin/python3
# trial: plain
# trial: c LC_ALL=C
# trial: utf8 LC_ALL=C.UTF-8
# trial: lang LANG=C.UTF-8
# trial: nonsense LC_ALL=nonsense
# trial: ioencoding how=any PYTHONIOENCODING=latin-1
# trial: ioerrors how=any PYTHONIOENCODING=ascii:replace
# trial: badencoding how=any PYTHONIOENCODING=no-such-encoding
# trial: utf8mode how=any PYTHONUTF8=1 LC_ALL=C
# trial: noutf8mode how=any PYTHONUTF8=0 LC_ALL=C
# trial: unbuffered how=any PYTHONUNBUFFERED=1
# trial: nocoercion how=any PYTHONCOERCECLOCALE=0 LC_ALL=C
# trial: body post=input
# trial: file file=input
# mask: Current thread 0x([0-9a-f]+)
# The standard streams are those that a new interpreter would make.
import locale
import sys

print("Content-Type: text/plain\n")
for name in ("stdin", "stdout", "stderr"):
    f, original = getattr(sys, name), getattr(sys, "__%s__" % name)
    print(name, f is original, f.name, f.mode, f.encoding, f.errors, f.newlines, f.line_buffering, f.write_through, f.fileno(), f.isatty(), f.closed)
    print("  ", type(f).__name__, type(f.buffer).__name__, f.buffer.name, type(f.buffer.raw).__name__, f.buffer.raw.name, f.buffer.raw.mode,
          f.buffer.raw.closefd, f.readable(), f.writable(), f.buffer.seekable())
print(locale.getpreferredencoding(), locale.getpreferredencoding(False), locale.setlocale(locale.LC_CTYPE), locale.setlocale(locale.LC_NUMERIC))
print(sys.getdefaultencoding(), sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), sys.flags.utf8_mode)
try:
    print("\xe4\u20ac")
except UnicodeEncodeError as e:
    print(e)
print(ascii(sys.stdin.read()))
print("\udcff", file=sys.stderr)
