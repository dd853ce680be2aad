from django.contrib import admin
from django.urls import path
from notes.views import latest

urlpatterns = [path("admin/", admin.site.urls), path("latest/", latest, name="latest")]
