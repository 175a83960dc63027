"""Cold starts: the first request when no worker runs, against those that follow it, and what is held meanwhile."""

import http.client
import time
from contextlib import closing
from statistics import median
from urllib.parse import urlsplit

from bench.processes import pss_kib
from bench.subjects.dialback import Dialback

LOOK_EVERY = 0.02
SETTLE = 0.3
"""Seconds from the end of the last worker until the next request: what is to be made ready for it may be."""


class ColdFailed(Exception):
    """A cold start was not measured; the message says why."""


def cold_starts(subject: Dialback, starts: int, warm: int) -> dict[str, float]:
    """Medians over so many starts, each followed by `warm` requests on connections of their own.

    `held_mib`: the proportional set size of everything below the invoker while there is no worker.
    Raises ColdFailed, OSError, HTTPException.
    """
    first, later, held = [], [], []
    for _ in range(starts):
        wait_for_zero_workers(subject)
        held.append(pss_kib(subject.below_the_invoker()) / 1024)
        first.append(_request(subject.url))
        later.append(median(_request(subject.url) for _ in range(warm)))
    over = [cold - then for cold, then in zip(first, later, strict=True)]
    return {
        "over_ms": median(over),
        "cold_ms": median(first),
        "warm_ms": median(later),
        "held_mib": median(held),
        "operations": starts * (warm + 1),
    }


def wait_for_zero_workers(subject: Dialback, seconds: float = 30) -> None:
    """Until the platform has none and their processes are gone. Raises ColdFailed."""
    deadline = time.monotonic() + seconds
    while subject.workers():
        if time.monotonic() > deadline:
            raise ColdFailed(f"there were workers after {seconds:g} s without a request")
        time.sleep(LOOK_EVERY)
    time.sleep(SETTLE)


def _request(url: str) -> float:
    """Milliseconds from the dial to the answer's last byte."""
    parts = urlsplit(url)
    begun = time.perf_counter()
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)) as connection:
        connection.request("GET", f"{parts.path}/hello")
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or body != b"Hello world\n":
            raise ColdFailed(f"the server answered {answer.status}: {body[:200]!r}")
        return (time.perf_counter() - begun) * 1e3
