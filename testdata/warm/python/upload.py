#!/usr/bin/python3
# trial: form type=multipart/form-data;boundary=XX post=--XX%0D%0AContent-Disposition:+form-data;+name=%22f%22;+filename=%22a.bin%22%0D%0AContent-Type:+x/y%0D%0A%0D%0A%00%01%FF%0D%0A--XX%0D%0AContent-Disposition:+form-data;+name=%22t%22%0D%0A%0D%0At%C3%A4xt%0D%0A--XX--%0D%0A
# trial: form type=multipart/form-data;boundary=XX file=--XX%0D%0AContent-Disposition:+form-data;+name=%22t%22%0D%0A%0D%0Atext%0D%0A--XX--%0D%0A
# trial: form&a=1&a=2 type=application/x-www-form-urlencoded post=b%3D%2526%26c%3D
# trial: form&a=1
# trial: broken type=multipart/form-data;boundary=XX post=--YY
# The module cgi, with its warning, where the interpreter still has it.
import os
import sys

print("Content-Type: text/plain\n")
try:
    import cgi
    import cgitb
except ImportError:
    print("no module cgi")
    sys.exit()
form = cgi.FieldStorage(keep_blank_values=True)
for name in sorted(form.keys() if form.list is not None else []):
    item = form[name]
    for f in item if isinstance(item, list) else [item]:
        print(name, repr(f.filename), f.type, f.file.read() if f.filename else ascii(f.value))
print(form.getfirst("a"), form.getlist("a"))
cgi.print_arguments()
if os.environ["QUERY_STRING"] == "broken":
    cgitb.enable(display=0, logdir=None, format="text")
    raise ValueError("cgitb tells")
