from django.db import models


class Note(models.Model):
    title = models.CharField(max_length=100)
    text = models.TextField(blank=True)
    file = models.FileField(blank=True)
    pinned = models.BooleanField(default=False)
    changed = models.DateTimeField(auto_now=True)

    def __str__(self):
        return self.title
