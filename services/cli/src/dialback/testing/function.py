"""A function that a test deployed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import httpx

from dialback.control_models import LogLine, Trace

if TYPE_CHECKING:
    from dialback.testing.platform import TestPlatform

SECONDS = 30.0


class TestedFunction:
    """Its address and ways to ask it. `url` ends with a slash and can be given to any client."""

    __test__ = False  # pytest takes classes of such names for tests

    def __init__(self, platform: TestPlatform, name: str, url: str) -> None:
        self.platform = platform
        self.name = name
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=SECONDS, trust_env=False)
        """Paths are relative to the function."""

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        """One GET; `options` are those of `httpx.Client.get`."""
        return self.http.get(path, **options)

    def post(self, path: str = "", **options: Any) -> httpx.Response:
        """One POST; `options` are those of `httpx.Client.post`."""
        return self.http.post(path, **options)

    def stream(self, method: str, path: str = "", **options: Any) -> AbstractContextManager[httpx.Response]:
        """A response that is read while it comes; leaving the block closes the connection."""
        return self.http.stream(method, path, **options)

    def trace(self, response: httpx.Response) -> Trace:
        """How the invocation that gave `response` went; waits until it is over."""
        return self.platform.trace(response)

    def logs(self) -> list[LogLine]:
        """What the function wrote until now."""
        return self.platform.logs(self.name)

    def wait_for_log(self, found: str | Callable[[LogLine], bool], seconds: float = 5.0) -> LogLine:
        """The first line that contains this text, or of which this is true. AssertionError when none comes."""
        return self.platform.wait_for_log(self.name, found, seconds)

    def set_env(self, *, secret: bool = False, **variables: str) -> None:
        """Set variables; the next requests get new workers."""
        self.platform.set_env(self.name, secret=secret, **variables)

    def remove(self) -> None:
        """Remove it from the platform."""
        self.platform.remove(self.name)
