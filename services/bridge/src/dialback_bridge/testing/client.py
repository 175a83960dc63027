"""The client of a function under test."""

from __future__ import annotations

import asyncio
import json as jsons
import sys
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any
from urllib.parse import quote, urlencode

from dialback_wire import payload

from .. import discovery, log_capture
from ..entry import Entry, EntryError, Kind, classify, signature_of
from ..handlers import Handler, make_handler
from ..handlers.threads import Threads
from ..headers import Headers, Pairs
from ..invocation import Invocations
from ..runtime_client import Delivery
from .loop_thread import LoopThread
from .played_platform import PlayedPlatform, Sent
from .response import StreamedResponse

THREADS = 10


class TestClient:
    """Calls `target`: an application, a handler function or class, a dict of functions by method, a module, or the
    folder of a function (a Path). Its style is found out as at a deployment; `kind` says it ("asgi", "wsgi", "http",
    "fetch", "lambda").

    `prefix` is the path below which the function is reached, as "/@chat". `deadline`: seconds that an invocation has.
    `cancel_grace`: seconds in which a function has to notice that its client left, before it is cancelled. `timeout`
    bounds every wait of the test. Everything runs until `close`, the end of a `with` block, or of the process.

    Raises EntryError when `target` is in no style that is served; what an application's start-up raises comes with the
    first request.
    """

    __test__ = False  # for pytest: a class named like this is no test

    def __init__(
        self,
        target: Any,
        *,
        kind: str | None = None,
        prefix: str = "",
        deadline: float | None = None,
        cancel_grace: float = 0.5,
        timeout: float = 10.0,
    ) -> None:
        self.entry = entry_of(target, kind)
        self._prefix = prefix
        self._deadline = deadline
        self._grace = cancel_grace
        self._timeout = timeout
        self._log = Log()
        self._threads = Threads(THREADS)
        self._invocations: Invocations | None = None
        self._handler: Handler | None = None
        self._loop_thread = LoopThread()
        self._finalizer = weakref.finalize(self, LoopThread.stop, self._loop_thread)

    def __enter__(self) -> TestClient:
        self._loop_thread.call(self._start(), self._timeout)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Run the application's shut-down, and end everything."""
        if not self._finalizer.alive:
            return
        try:
            if self._handler is not None:
                self._loop_thread.call(self._handler.stop(), self._timeout)
        finally:
            self._threads.close()
            self._finalizer()

    @property
    def log(self) -> list[str]:
        """What the bridge has logged: tracebacks of failures, also of those behind a response."""
        return list(self._log.lines)

    # --- requests -----------------------------------------------------------------------------------------------------

    def get(self, path: str, **options: Any) -> StreamedResponse:
        """See `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> StreamedResponse:
        """See `request`."""
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> StreamedResponse:
        """The response to a request, read to its end; see `stream` for `options`."""
        response = self.stream(method, path, **options)
        response.read()
        response.wait_over()
        return response

    def stream(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        headers: Pairs | None = None,
        body: bytes | str | Iterable[bytes] | None = None,
        json: Any = None,
    ) -> StreamedResponse:
        """The response to a request, while it comes.

        `path` may have a query, to which `params` are added. `body`: small ones travel inside the payload, larger ones
        and iterables are streamed as the function reads them; an iterable runs in a thread, and when it raises, the
        upload has broken off. `json`: a value to be sent as such.
        """
        path, _, query = path.partition("?")
        if params:
            query = "&".join(filter(None, [query, urlencode(params, doseq=True)]))
        given = Headers(headers)
        if json is not None:
            body = jsons.dumps(json).encode()
            given.setdefault("content-type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, bytes):
            given.setdefault("content-length", str(len(body)))
        sent = Sent(method.upper(), quote(path or "/", safe="/%:@!$&'()*+,;=~-._"), query, given, body, self._prefix)
        platform = self._loop_thread.call(self._begin(sent), self._timeout)
        return StreamedResponse(platform, self._loop_thread, self._timeout)

    async def _start(self) -> None:
        if self._handler is None:
            handler = make_handler(self.entry, self._threads)
            await handler.start()
            self._handler = handler

    async def _begin(self, sent: Sent) -> PlayedPlatform:
        await self._start()
        assert self._handler is not None
        platform = PlayedPlatform(sent)
        whole = sent.body if sent.plan == payload.BODY_INLINE and isinstance(sent.body, bytes) else None
        event = sent.event(whole)
        event[payload.KEY] = {
            "version": payload.VERSION,
            "invocation": sent.id,
            "url": "ws://testserver/callback/v1",
            "token": platform.token,
            "body": sent.plan,
        }
        deadline = None if self._deadline is None else int((time.time() + self._deadline) * 1000)
        delivery = Delivery(sent.id, deadline, "arn:test", None, None, jsons.dumps(event).encode())
        invocations = Invocations(platform, platform, self._handler, self._log, self._grace)
        platform.serving = asyncio.ensure_future(invocations.serve(delivery))
        return platform


class Log(log_capture.LogSink):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(None)
        self.lines: list[str] = []

    def emit(self, invocation: str, stream: str, level: str, lines: Iterable[str]) -> None:
        self.lines += lines


def entry_of(target: Any, kind: str | None) -> Entry:
    """What is meant by a test's `target`. Raises EntryError."""
    if isinstance(target, Path):
        return _entry_in(target, kind)
    if isinstance(target, ModuleType):
        return discovery.choose(target, kind)
    if kind is not None:
        return Entry("test:target", Kind(kind), target)
    if isinstance(target, dict):
        return Entry("test:target", Kind.FETCH, target)
    found = classify(getattr(target, "__name__", "app"), target)
    if not isinstance(found, Kind):
        # Whatever it is called here, a function of one argument can only be one that takes a request.
        signature = signature_of(target) if callable(target) else None
        if signature is None or not signature.takes(1):
            raise EntryError(found)
        found = Kind.FETCH
    return Entry("test:target", found, target)


def _entry_in(folder: Path, kind: str | None) -> Entry:
    """The entry of a function's folder, imported afresh: an `app` of another folder may have been imported before."""
    folder = folder.resolve()
    for path in folder.glob("*.py"):
        loaded = sys.modules.get(path.stem)
        if loaded is not None and Path(getattr(loaded, "__file__", None) or "").resolve() != path:
            del sys.modules[path.stem]
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    return discovery.find_entry(folder, None, kind)
