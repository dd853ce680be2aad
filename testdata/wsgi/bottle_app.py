"""Bottle: routes, a signed cookie, an upload, a file, a generator of text."""

import hashlib
import os

import bottle

application = bottle.Bottle()
KEY = "the same in every process"


@application.get("/")
def index():
    return "hello\n"


@application.get("/name/<name>")
def named(name):
    seen = bottle.request.get_cookie("seen", secret=KEY) or "nobody"
    bottle.response.set_cookie("seen", name, secret=KEY)
    bottle.response.content_type = "text/plain; charset=utf-8"
    return f"{name} after {seen}\n"


@application.post("/upload")
def upload():
    file = bottle.request.files.file
    content = file.file.read()
    return f"text: {bottle.request.forms['text']}\nfile: {file.raw_filename} {len(content)} {hashlib.md5(content).hexdigest()}\n"


@application.route("/echo", method=["POST", "PUT"])
def echo():
    bottle.response.content_type = "application/octet-stream"
    return bottle.request.body


@application.get("/source")
def source():
    return bottle.static_file(os.path.basename(__file__), os.path.dirname(os.path.abspath(__file__)), mimetype="text/plain")


@application.get("/count/<number:int>")
def count(number):
    bottle.response.content_type = "text/plain"
    for value in range(number):
        yield f"{value}\n"


@application.get("/old")
def old():
    bottle.redirect(bottle.request.script_name.rstrip("/") + "/")


@application.get("/fail")
def fail():
    raise RuntimeError("on purpose")


@application.error(404)
def not_found(error):
    return f"nothing is at {bottle.request.path}\n"
