# The application that the server was given: it hands each request to one of the
# others, by the first part of the path. What it has used moves from PATH_INFO to
# SCRIPT_NAME, so each of them runs as if it were alone.
import environ
import function
import instance
import iterable
import middleware
import router

MODULES = [function, iterable, instance, router, middleware, environ]
MOUNTS = {module.__name__: module.application for module in MODULES}


def application(env, start_response):
    _, name, *rest = env["PATH_INFO"].split("/", 2) if env["PATH_INFO"] else ("", "")
    if name not in MOUNTS:
        status = "200 OK" if name in ("", "mount") else "404 Not Found"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [b"Here are: " + ", ".join(MOUNTS).encode("ascii") + b"\n"]
    env["SCRIPT_NAME"] += "/" + name
    env["PATH_INFO"] = "/" + rest[0] if rest else ""
    return MOUNTS[name](env, start_response)
