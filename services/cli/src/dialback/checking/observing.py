"""One request, and everything about its answer that tells of the way it came: times, sizes, headers, marks."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from dialback.checking.marks import Mark, MarkReader
from dialback.errors import CliError, Unreachable, UsageProblem

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""The longest pause inside an answer that is waited out."""
ACCEPTED = "gzip, deflate, br, zstd"
"""What browsers accept: a proxy compresses only for who does."""


class CheckFailed(CliError):
    """There is nothing to be judged: an error status, no answer, an answer without a body."""

    exit_code = 2


@dataclass(slots=True)
class Observed:
    """Times in seconds after the request began to be sent."""

    url: str
    status: int = 0
    version: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    head_at: float = 0.0
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    """Pieces of the body as they came from the wire: when, and how many bytes."""
    marks: list[Mark] = field(default_factory=list)
    strange: int = 0
    unread: str = ""
    """A coding of the content that is not undone here, so that marks could not be read."""
    ended_at: float = 0.0
    cut: str = ""
    """Why the answer stopped short; empty for a good end, and for one that we left."""
    left: bool = False

    def header(self, name: str) -> str:
        """The first field of that name, empty when there is none."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def received(self) -> int:
        return sum(size for _, size in self.arrivals)


class _Decoder(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


def observe(
    url: str,
    headers: list[tuple[str, str]],
    seconds: float,
    verify: bool = True,
    note: Callable[[Observed], None] = lambda _: None,
) -> Observed:
    """Ask `url` and watch its answer for `seconds` at most. Raises Unreachable, UsageProblem, CheckFailed."""
    seen = Observed(url)
    timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    asked = [("accept-encoding", ACCEPTED), ("accept", "*/*"), ("cache-control", "no-cache"), *headers]
    try:
        with httpx.Client(trust_env=False, timeout=timeout, verify=verify, headers={}) as client:
            began = time.perf_counter()
            with client.stream("GET", url, headers=asked) as response:
                _watch(seen, response, began, seconds, note)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as wrong:
        raise UsageProblem(f"{url!r} is not an address: {wrong}", hint="write http://HOST/PATH") from None
    except (httpx.ConnectError, httpx.ConnectTimeout) as failure:
        raise Unreachable(f"cannot reach {url}: {failure}") from None
    except httpx.TimeoutException:
        raise CheckFailed(f"{url} sent nothing for {SILENCE_SECONDS:g} seconds") from None
    except httpx.TransportError as failure:
        if not seen.status:
            raise CheckFailed(f"{url} gave no answer: {failure}") from None
        seen.cut = str(failure) or type(failure).__name__
    return seen


def _watch(
    seen: Observed, response: httpx.Response, began: float, seconds: float, note: Callable[[Observed], None]
) -> None:
    seen.head_at = seen.ended_at = time.perf_counter() - began
    seen.status, seen.version = response.status_code, response.http_version
    seen.headers = [(key.lower(), value) for key, value in response.headers.multi_items()]
    reader, decoder = MarkReader(), _decoder(seen)
    seen.marks = reader.marks
    for piece in response.iter_raw():
        now = time.perf_counter() - began
        seen.arrivals.append((now, len(piece)))
        if decoder is not None:
            try:
                reader.feed(decoder.decompress(piece), now)
            except zlib.error as broken:
                seen.unread, decoder = f"{seen.header('content-encoding')} that is broken ({broken})", None
        seen.strange, seen.ended_at = reader.strange, now
        note(seen)
        if now > seconds:
            seen.left = True
            return
    seen.ended_at = time.perf_counter() - began


class _AsItIs:
    def decompress(self, data: bytes, /) -> bytes:
        return data


def _decoder(seen: Observed) -> _Decoder | None:
    coding = seen.header("content-encoding").lower()
    if coding in ("", "identity"):
        return _AsItIs()
    if coding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(zlib.MAX_WBITS | 32)
    seen.unread = coding
    return None
