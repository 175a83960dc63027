from django.urls import path

from . import views

urlpatterns = [
    path("", views.index, name="index"),
    path("export.csv", views.export, name="export"),
    path("progress", views.progress, name="progress"),
]
