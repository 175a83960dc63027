"""The servers that are measured, in the order in which the report lists them."""

from bench.subjects.base import Missing, Subject
from bench.subjects.dialback import (
    DialbackBuffered,
    DialbackDocker,
    DialbackDockerTunnel,
    DialbackEach,
    DialbackServices,
    DialbackSpawn,
    DialbackTunnel,
    DialbackUp,
    DialbackUpBuffered,
    DialbackUpEach,
    DialbackUpSpawn,
    DialbackUpTunnel,
)
from bench.subjects.functions_framework import FunctionsFrameworkNode, FunctionsFrameworkPython
from bench.subjects.nginx_uvicorn import NginxTuned, NginxUvicorn
from bench.subjects.uvicorn_direct import UvicornDirect
from bench.subjects.workerd import Workerd

YARDSTICK = NginxUvicorn.name

PEERS: tuple[type[Subject], ...] = (
    UvicornDirect,
    NginxUvicorn,
    NginxTuned,
    Workerd,
    FunctionsFrameworkNode,
    FunctionsFrameworkPython,
)
SHAPES: tuple[type[Subject], ...] = (DialbackServices, DialbackTunnel, DialbackUp, DialbackUpTunnel)
# Asked for by name, or by a workload that is theirs.
OTHERS: tuple[type[Subject], ...] = (
    DialbackBuffered,
    DialbackUpBuffered,
    DialbackEach,
    DialbackUpEach,
    DialbackDocker,
    DialbackDockerTunnel,
    DialbackSpawn,
    DialbackUpSpawn,
)

SUBJECTS: dict[str, type[Subject]] = {subject.name: subject for subject in (*PEERS, *SHAPES, *OTHERS)}

DEFAULT = tuple(subject.name for subject in (*PEERS, *SHAPES))
"""Visited when nothing is said."""

__all__ = ["DEFAULT", "PEERS", "SHAPES", "SUBJECTS", "YARDSTICK", "Missing", "Subject"]
