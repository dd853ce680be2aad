#!/usr/bin/python3
# trial: write
# trial: umask
# trial: temp
# trial: db
# trial: relative
# trial: append
# trial: unclosed
import os
import sys

out = os.environ["OUT"]
how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n")
if how == "write":
    for name, mode in (("plain", "w"), ("binary", "wb")):
        with open(os.path.join(out, name), mode) as f:
            f.write("text\n" if mode == "w" else b"\x00\xff")
    os.mkdir(os.path.join(out, "folder"))
    os.symlink("plain", os.path.join(out, "link"))
elif how == "umask":
    os.umask(0o077)
    open(os.path.join(out, "private"), "w").close()
    os.umask(0)
    open(os.path.join(out, "public"), "w").close()
    os.system("umask")
elif how == "temp":
    import tempfile
    with tempfile.TemporaryDirectory(dir=out) as d:
        with tempfile.NamedTemporaryFile("w+", dir=d) as f:
            f.write("x")
            f.seek(0)
            print(f.read(), oct(os.stat(f.name).st_mode), oct(os.stat(d).st_mode))
    with tempfile.SpooledTemporaryFile() as f:
        f.write(b"y")
    print(tempfile.gettempdir(), os.listdir(out))
elif how == "db":
    import dbm.dumb
    import shelve
    import sqlite3
    with sqlite3.connect(os.path.join(out, "x.db")) as db:
        db.execute("create table t (a)")
        db.execute("insert into t values (1)")
        print(db.execute("select * from t").fetchall())
    with dbm.dumb.open(os.path.join(out, "y"), "c") as d:
        d["k"] = "v"
elif how == "relative":
    os.chdir(out)
    open("here", "w").write("found")
    print(open("here").read(), os.path.abspath(".") == out, __file__ == sys.argv[0], os.path.isabs(__file__))
elif how == "append":
    import fcntl
    for n in range(2):
        with open(os.path.join(out, "log"), "a") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            print("line", n, f.tell(), file=f)
elif how == "unclosed":
    f = open(os.path.join(out, "unclosed"), "w")
    f.write("is written at the end")
