"""Keep-alive connections to the runtime API."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable

from .http_connection import Answer, HttpConnection, HttpGone, HttpResponse

BUSY_SECONDS = 30.0
BUSY_PAUSE = 0.005


class _Follower:
    """A request that waits for one that it can follow, who gets its answer, and where it was sent."""

    __slots__ = ("answer", "connection", "request")

    def __init__(self, request: bytes, answer: Answer) -> None:
        self.request = request
        self.answer = answer
        self.connection: HttpConnection | None = None


class HttpPool:
    """Keep-alive connections to one address. As many are open as requests run at once."""

    def __init__(self, connect: Callable[[], Awaitable[HttpConnection]]) -> None:
        self._connect = connect
        self._idle: list[HttpConnection] = []
        self._patient: deque[_Follower] = deque()

    @property
    def patient(self) -> int:
        """How many patient requests have not been sent yet."""
        return len(self._patient)

    async def request(self, request: bytes, *, leads: bool = False, patient: bool = False) -> HttpResponse:
        """Send a whole request and wait, without a limit, for its answer. Raises HttpGone.

        A kept connection that ends before a byte of the answer came was closed by the other side while it was idle; the
        request is then sent again, on a new connection. A `patient` request waits until one that `leads` is sent and
        follows it on its connection, in the same write; or until `hurry`.
        """
        if patient:
            try:
                return await self._follow(request)
            except HttpGone as gone:
                if gone.answered:
                    raise
        while self._idle:
            connection = self._idle.pop()
            if not connection.reusable:
                continue
            try:
                return await self._send(connection, request, leads)
            except HttpGone as gone:
                if gone.answered:
                    raise
        try:
            connection = await self._connect()
        except OSError as error:
            raise HttpGone(f"cannot connect: {error}") from error
        connection.on_idle = self._idle.append
        return await self._send(connection, request, leads)

    def hurry(self) -> None:
        """Let the patient requests wait no longer."""
        while self._patient:
            self._patient.popleft().answer.set_exception(HttpGone("not sent yet"))

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    async def _send(self, connection: HttpConnection, request: bytes, leads: bool) -> HttpResponse:
        answer: Answer = asyncio.get_running_loop().create_future()
        if leads and self._patient:
            follower = self._patient.popleft()
            follower.connection = connection
            connection.send(request + follower.request, answer, follower.answer)
        else:
            connection.send(request, answer)
        try:
            return await answer
        except asyncio.CancelledError:
            connection.give_up(answer)
            raise

    async def _follow(self, request: bytes) -> HttpResponse:
        follower = _Follower(request, asyncio.get_running_loop().create_future())
        self._patient.append(follower)
        try:
            return await follower.answer
        except asyncio.CancelledError:
            if follower.connection is not None:
                follower.connection.give_up(follower.answer)
            elif follower in self._patient:
                self._patient.remove(follower)
            raise


async def connect_unix(path: str) -> HttpConnection:
    """A connection to a Unix socket; one whose queue is full is asked again for BUSY_SECONDS. Raises OSError."""
    loop = asyncio.get_running_loop()
    until = loop.time() + BUSY_SECONDS
    peer = socket.socket(socket.AF_UNIX)
    try:
        peer.setblocking(False)
        while True:
            try:
                # Where TCP waits, Linux says EAGAIN (connect(2)), and asyncio would take that for a connection under
                # way. Several hundred invocations that end in one tick fill the queue.
                peer.connect(path)
                break
            except BlockingIOError:
                if loop.time() > until:
                    raise
                await asyncio.sleep(BUSY_PAUSE)
        _, connection = await loop.create_unix_connection(HttpConnection, sock=peer)
    except BaseException:
        peer.close()
        raise
    return connection


async def connect_tcp(host: str, port: int) -> HttpConnection:
    """A connection to a TCP address. Raises OSError."""
    _, connection = await asyncio.get_running_loop().create_connection(HttpConnection, host, port)
    return connection
