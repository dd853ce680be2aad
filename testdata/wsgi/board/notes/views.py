import json

from django.http import StreamingHttpResponse
from django.urls import reverse

from .models import Note


def latest(request):
    """All notes as lines of JSON, sent one by one."""

    def lines():
        yield json.dumps({"admin": reverse("admin:index"), "here": request.build_absolute_uri()}) + "\n"
        for note in Note.objects.order_by("-changed"):
            size = note.file.size if note.file else 0
            yield json.dumps({"title": note.title, "text": note.text, "pinned": note.pinned, "size": size}) + "\n"

    return StreamingHttpResponse(lines(), content_type="application/x-ndjson")
