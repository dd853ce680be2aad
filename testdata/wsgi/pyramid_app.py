"""Pyramid: routes, views by method and by predicate, an upload, a file, exception views."""

import hashlib

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden, HTTPFound
from pyramid.response import FileResponse, Response


def index(request):
    return Response(f"hello from {request.registry.settings['name']}\n", content_type="text/plain")


def greet(request):
    return {"name": request.matchdict["name"], "times": request.params.getall("t"), "url": request.route_url("greet", name="x")}


def upload(request):
    field = request.POST["file"]
    content = field.file.read()
    text = f"text: {request.POST['text']}\nfile: {field.filename} {len(content)} {hashlib.md5(content).hexdigest()}\n"
    return Response(text, content_type="text/plain", charset="utf-8")


def blocks(request):
    def generate():
        for number in range(int(request.matchdict["number"])):
            yield b"%d\n" % number

    return Response(app_iter=generate(), content_type="text/plain")


def source(request):
    return FileResponse(__file__, request=request, content_type="text/plain")


def move(request):
    return HTTPFound(request.route_path("index"))


def guarded(request):
    raise HTTPForbidden("not for you")


def fail(request):
    raise RuntimeError("on purpose")


def failed(error, request):
    return Response(f"handled: {error}\n", status=500, content_type="text/plain")


def not_found(request):
    return Response(f"nothing is at {request.path_info}\n", status=404, content_type="text/plain", charset="utf-8")


def create_app(name, settings):
    with Configurator(settings={**settings, "name": name}) as config:
        config.add_route("index", "/")
        config.add_route("greet", "/greet/{name}")
        config.add_route("upload", "/upload")
        config.add_route("blocks", "/blocks/{number:\\d+}")
        config.add_route("source", "/source")
        config.add_route("move", "/move")
        config.add_route("guarded", "/guarded")
        config.add_route("fail", "/fail")
        config.add_view(index, route_name="index")
        config.add_view(greet, route_name="greet", renderer="json")
        config.add_view(upload, route_name="upload", request_method="POST")
        config.add_view(blocks, route_name="blocks")
        config.add_view(source, route_name="source")
        config.add_view(move, route_name="move")
        config.add_view(guarded, route_name="guarded")
        config.add_view(fail, route_name="fail")
        config.add_exception_view(failed, context=RuntimeError)
        config.add_notfound_view(not_found)
        return config.make_wsgi_app()
