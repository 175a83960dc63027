"""The servers that are measured, in the order in which the report lists them."""

from bench.subjects.base import Missing, Subject
from bench.subjects.dialback import DialbackEach, DialbackServices, DialbackTunnel, DialbackUp, DialbackUpTunnel
from bench.subjects.nginx_uvicorn import NginxTuned, NginxUvicorn
from bench.subjects.uvicorn_direct import UvicornDirect

YARDSTICK = NginxUvicorn.name

SUBJECTS: dict[str, type[Subject]] = {
    subject.name: subject
    for subject in (
        UvicornDirect,
        NginxUvicorn,
        NginxTuned,
        DialbackServices,
        DialbackTunnel,
        DialbackUp,
        DialbackUpTunnel,
        DialbackEach,
    )
}

# Visited when nothing is said; the others are asked for by name.
DEFAULT = [name for name in SUBJECTS if name != DialbackEach.name]

__all__ = ["DEFAULT", "SUBJECTS", "YARDSTICK", "Missing", "Subject"]
