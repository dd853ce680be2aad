"""What a Flask application usually has: a session, an upload, a stream, errors."""

import hashlib
import io
import os
import time

from flask import Flask, Response, abort, redirect, request, send_file, session, stream_with_context, url_for


def create_app(greeting="hello"):
    app = Flask(__name__)
    app.secret_key = "the same in every process"

    @app.route("/")
    def index():
        return greeting + "\n"

    @app.route("/login", methods=["POST"])
    def login():
        session["name"] = request.form["name"]
        return redirect(url_for("whoami"))

    @app.route("/whoami")
    def whoami():
        return session.get("name", "nobody") + "\n"

    @app.route("/logout")
    def logout():
        session.clear()
        return redirect(url_for("whoami", _external=True))

    @app.route("/upload", methods=["POST"])
    def upload():
        file = request.files["file"]
        digest, size = hashlib.md5(), 0
        for block in iter(lambda: file.stream.read(1 << 16), b""):
            digest.update(block)
            size += len(block)
        return f"text: {request.form['text']}\nfile: {file.filename} {size} {digest.hexdigest()}\n"

    @app.route("/echo", methods=["POST", "PUT"])
    def echo():
        return Response(request.get_data(), headers={"X-Method": request.method})

    @app.route("/pid")
    def pid():
        return f"{os.getpid()}\n"

    @app.route("/stream")
    def stream():
        return Response(stream_with_context(lines(request.args["dir"])), mimetype="text/plain")

    @app.route("/ticks")
    def tick():
        return Response(ticks(request.args["dir"]), mimetype="text/plain")

    @app.route("/file")
    def file():
        content = io.BytesIO(bytes(range(256)) * 1000)
        return send_file(content, mimetype="application/octet-stream", etag="file", conditional=True)

    @app.route("/fail")
    def fail():
        return 1 // 0

    @app.route("/teapot")
    def teapot():
        abort(418)

    @app.errorhandler(404)
    def not_found(error):
        return f"nothing is at {request.path}\n", 404

    @app.errorhandler(ZeroDivisionError)
    def failed(error):
        return f"handled: {type(error).__name__}\n", 500

    return app


def lines(folder):
    """Five lines, each when the file says that the last was seen."""
    for number in range(1, 6):
        yield f"line {number}\n"
        deadline = time.monotonic() + 30
        while not os.path.exists(os.path.join(folder, str(number))) and time.monotonic() < deadline:
            time.sleep(0.02)


def ticks(folder):
    """Goes on until somebody closes it, and tells."""
    try:
        while True:
            yield "tick\n"
            time.sleep(0.02)
    finally:
        with open(os.path.join(folder, "closed"), "a") as file:
            file.write("closed\n")
