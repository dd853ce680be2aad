#!/usr/bin/python3
# trial: one
# trial: two
# A script of the kind that was common, with many modules of the library.
import base64, binascii, bisect, calendar, collections, configparser, contextlib, copy, csv, ctypes, datetime, decimal, difflib, email.message
import fnmatch, fractions, functools, getopt, glob, gzip, hashlib, heapq, hmac, html, html.parser, http.client, http.cookies, inspect, io, ipaddress
import itertools, json, locale, logging, math, mimetypes, operator, optparse, os, pathlib, pickle, platform, pprint, queue, random, re, shlex, shutil
import socket, sqlite3, ssl, stat, string, struct, subprocess, sys, tarfile, tempfile, textwrap, threading, time, traceback, types, unicodedata
import urllib.parse, urllib.request, uuid, weakref, xml.etree.ElementTree, xml.sax, zipfile, zlib

print("Content-Type: text/html; charset=utf-8\n")
form = urllib.parse.parse_qs("a=1&b=2&b=%C3%A4", keep_blank_values=True)
print(ascii(form), html.escape("<a href='x'>"), json.dumps({"k": [1, None, 2.5]}, sort_keys=True))
print(datetime.datetime(2020, 2, 29, 12, tzinfo=datetime.timezone.utc).isoformat(), calendar.month(2024, 2))
print(decimal.Decimal("0.1") + 1, fractions.Fraction(1, 3), math.pi, pickle.loads(pickle.dumps({1: 2})))
db = sqlite3.connect(":memory:")
db.execute("create table t (a, b)")
db.executemany("insert into t values (?, ?)", [(1, "x"), (2, "y")])
print(db.execute("select sum(a), group_concat(b) from t").fetchall())
print(gzip.decompress(gzip.compress(b"zipped")), zlib.adler32(b"x"), base64.b64encode(b"x"), hmac.new(b"k", b"m", "sha1").hexdigest())
print(list(csv.reader(io.StringIO("a,\"b,c\"\n"))), shlex.split("a 'b c'"), textwrap.shorten("many words here", 10), fnmatch.filter(["a.py"], "*.py"))
c = http.cookies.SimpleCookie("a=1; b=2")
print(c.output(), collections.OrderedDict(a=1), collections.Counter("abca").most_common(1), struct.pack("<I", 1))
print(ssl.create_default_context().verify_mode, socket.inet_aton("127.0.0.1"), ipaddress.ip_network("10.0.0.0/30")[1])
print(inspect.getsource(main) if "main" in globals() else inspect.getsourcelines(inspect.currentframe())[1])
print(pprint.pformat(list(range(3))), platform.python_implementation(), re.sub("a+", "b", "caat"), unicodedata.name("\xe4"))
print(ctypes.CDLL(None).getpid() == os.getpid(), ctypes.sizeof(ctypes.c_long))
print(xml.etree.ElementTree.tostring(xml.etree.ElementTree.fromstring("<a b='c'/>")), ascii(email.message.EmailMessage().as_string()))
