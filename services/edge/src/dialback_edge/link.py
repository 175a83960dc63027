"""The link to the invoker over a Unix or TCP socket: dials, redials with backoff, never retries a request."""

import asyncio
import logging
import os
import random
import ssl
import stat
from pathlib import Path

from dialback_wire.errors import LocalError
from dialback_wire.messages import Request
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream

from .errors import SettingsError, UpstreamUnavailable
from .link_connection import LinkConnection
from .link_tls import client_context, explained
from .settings import LinkSettings

_log = logging.getLogger("dialback.edge.link")


class LinkClient:
    """An `Upstream` across a socket. `start` it before use, `stop` it in the end."""

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._key: bytes | None = None
        self._tls: ssl.SSLContext | None = None
        self._current: LinkConnection | None = None
        self._retired: set[LinkConnection] = set()
        self._linked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.agent = "dialback-edge"
        """How we greet: the public address, once it is known, for the invoker to print."""
        self.last_error = "not started"
        """Why there is no link, for people."""

    @property
    def ready(self) -> bool:
        """Whether a request could be opened now."""
        return self._current is not None and self._current.usable

    def open(self, request: Request, sink: StreamSink) -> Stream:
        """Ask the invoker. Raises UpstreamUnavailable when there is no link."""
        link = self._current
        if link is not None and link.usable:
            try:
                return link.mux.open_request(request, sink)
            except LocalError as error:
                # This link's stream numbers are used up: another one takes over.
                self.last_error = str(error)
                link.retire(self.last_error)
        raise UpstreamUnavailable("The platform is not connected to its invoker.")

    async def start(self) -> None:
        """Begin to dial, and wait a bounded time for the first link. Raises SettingsError for an unusable file."""
        if self._settings.key_file is not None:
            self._key = read_key(self._settings.key_file)
        if self._settings.tls:
            self._tls = client_context(self._settings.tls_authority)
        self._task = asyncio.get_running_loop().create_task(self._keep_linked())
        if self._settings.first_wait:
            try:
                await asyncio.wait_for(self._linked.wait(), self._settings.first_wait)
            except TimeoutError:
                pass

    async def stop(self) -> None:
        """Close every link; streams that are still open are lost."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        links = [*self._retired, *([self._current] if self._current is not None else [])]
        self._current = None
        for link in links:
            link.close("the edge stops")
        await asyncio.gather(*(link.gone.wait() for link in links))

    async def _keep_linked(self) -> None:
        settings = self._settings
        loop = asyncio.get_running_loop()
        delay = settings.backoff_min
        while True:
            began = loop.time()
            try:
                link = await self._dial()
            except (OSError, TimeoutError, UpstreamUnavailable) as error:
                self._say_lost(self._reason(error))
            else:
                self._current = link
                self.last_error = ""
                self._linked.set()
                _log.info("linked to the invoker at %s", settings.where)
                await link.over.wait()
                self._current = None
                self._say_lost(link.why)
                if not link.gone.is_set():
                    self._retired.add(link)
                    link.on_gone = self._retired.discard
                if loop.time() - began > settings.backoff_max:
                    delay = settings.backoff_min
            # Jitter, so that many edges do not return as one.
            await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - jitter is no secret
            delay = min(delay * 2, settings.backoff_max)

    def _say_lost(self, why: str) -> None:
        """Once for each reason, not at each attempt."""
        if why != self.last_error:
            _log.warning("no link to the invoker at %s: %s", self._settings.where, why)
        self.last_error = why

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._settings.connect_timeout:g} s"
        if isinstance(error, ssl.SSLError) or (self._tls is not None and isinstance(error, ConnectionResetError)):
            return explained(error)
        return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__

    async def _dial(self) -> LinkConnection:
        """A connection whose greeting and proof are done."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        link = LinkConnection(loop, self._key, settings, self.agent)
        async with asyncio.timeout(settings.connect_timeout):
            try:
                if settings.path is not None:
                    await loop.create_unix_connection(lambda: link, str(settings.path))
                elif settings.host is not None and settings.port is not None:
                    await loop.create_connection(lambda: link, settings.host, settings.port, ssl=self._tls)
                await link.settled.wait()
            except BaseException:
                link.close("dialling was given up")
                raise
        if not link.usable:
            raise UpstreamUnavailable(link.why or "the invoker did not greet")
        return link


def read_key(path: Path) -> bytes:
    """The link's key. Raises SettingsError unless the file is there, not empty, and its owner's alone."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise SettingsError(f"{path}: others may read this key; chmod 600 it")
            key = file.read().strip()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from error
    if not key:
        raise SettingsError(f"{path}: the key is empty")
    return key
