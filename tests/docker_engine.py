"""The Docker Engine that tests may use, if there is one."""

from __future__ import annotations

import functools
import gc
import os
import warnings
from typing import Any

import docker
import docker.errors
import pytest

from .worker_image import worker_image


def connect() -> Any:
    """A client of its own, to be closed."""
    return docker.APIClient(base_url=os.environ.get("DOCKER_HOST"), version="auto", timeout=60)


def needs_an_engine() -> None:
    """Skips when no Docker Engine answers; else the image that workers run in is there."""
    problem = _problem()
    if problem:
        pytest.skip(f"NOT TESTED, no Docker Engine can be reached: {problem}")
    worker_image()


@functools.cache
def _problem() -> str:
    """Why no engine can be reached; empty when one can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        problem = _ask()
        gc.collect()
    return problem


def _ask() -> str:
    asking = docker.APIClient(base_url=os.environ.get("DOCKER_HOST"), version="1.41", timeout=10)
    try:
        asking.ping()
    except (docker.errors.DockerException, OSError) as error:
        return str(error)[:200]
    finally:
        asking.close()
    return ""


def collect() -> None:
    """Collects the sockets that could not be connected, which the `docker` package leaves to the collector, outside any
    test.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
