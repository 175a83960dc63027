"""As few settings as a project without a database needs."""

import os

# A function that faces the world has its key in the environment, and False here.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "not a secret: this example signs nothing")
DEBUG = False
# The edge has checked Host; a function is reached under its prefix and under its own name.
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "project.urls"
USE_TZ = True
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
