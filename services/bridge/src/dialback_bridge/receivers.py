"""The sockets to the receivers: dialled once and shared by invocations, or dialled for each.

A socket that was silent for a while is asked for a sign of life before it is trusted with a stream: a sandbox that is
frozen between invocations loses its sockets without being told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from dialback_wire.errors import LocalError
from dialback_wire.messages import Invoke, Refusal, Verdict

from .callback_url import AllowList, CallbackNotAllowed, Target
from .event import Stamp
from .patience import Patience
from .receiver_socket import DialFailed, DialRefused, OnInvoke, ReceiverSocket, dial
from .stream_exchange import StreamExchange, StreamLost, StreamRefused

SILENCE = 20.0
"""Seconds of silence after which a kept socket has to answer a ping first."""

PING_TIME = 1.0
"""Seconds that it has for that."""


class CallbackUnreachable(Exception):
    """No stream to the receiver could be opened. The handler must not be called."""


class CallbackRefused(Exception):
    """The receiver did not accept the invocation's token. The handler must not be called."""


class Receivers:
    """Opens a stream for each invocation."""

    def __init__(
        self, allow: AllowList, *, keep: bool, dial_timeout: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.on_invoke: OnInvoke = lambda socket, invoke: socket.mux.decline(invoke.invocation)
        """Is told of invocations that come over a socket."""
        self._allow = allow
        self._keep = keep
        self._dial_timeout = dial_timeout
        self._clock = clock
        self._kept: dict[Target, asyncio.Task[ReceiverSocket]] = {}
        self._ready: dict[str, ReceiverSocket] = {}
        """Kept sockets by the URL that was allowed and led to them."""
        self._accepts = Patience(dial_timeout)
        self._sockets: set[ReceiverSocket] = set()
        self._gone: asyncio.Event = asyncio.Event()

    async def open(self, stamp: Stamp, exchange: StreamExchange) -> ReceiverSocket:
        """Open `exchange`'s stream and wait until its token is accepted. Give the socket back by `release`.

        Raises CallbackUnreachable, and CallbackRefused; both mean that the handler must not run.
        """
        try:
            socket = self._at_hand(stamp.url)
            if socket is None or not await self._enter(socket, stamp.token, exchange, fresh=False):
                target = self._allow.pick(stamp.url)
                socket = await asyncio.wait_for(self._open(target, stamp.token, exchange), self._dial_timeout)
                if self._is_kept(socket):
                    self._ready[stamp.url] = socket
            return socket
        except asyncio.TimeoutError:
            raise CallbackUnreachable(f"the receiver did not answer within {self._dial_timeout:g} s") from None
        except (DialRefused, StreamRefused) as error:
            raise CallbackRefused(f"the receiver refused the invocation: {error}") from None
        except (CallbackNotAllowed, DialFailed, StreamLost) as error:
            raise CallbackUnreachable(str(error)) from None

    def release(self, socket: ReceiverSocket) -> None:
        """An invocation is over. A socket that nobody will use again is closed."""
        if not socket.mux.streams and not (socket.usable and self._is_kept(socket)):
            socket.close()

    async def close(self, within: float = 1.0) -> None:
        """Close all sockets and wait, not longer than `within` seconds, until they are gone."""
        self._accepts.close()
        for task in self._kept.values():
            task.cancel()
        self._kept.clear()
        for socket in list(self._sockets):
            socket.close()
        if self._sockets:
            self._gone.clear()
            try:
                await asyncio.wait_for(self._gone.wait(), within)
            except asyncio.TimeoutError:
                for socket in list(self._sockets):
                    socket.abort()

    def _at_hand(self, url: str) -> ReceiverSocket | None:
        """The kept socket, when it can be used without a question: nearly always, so this has to be quick."""
        socket = self._ready.get(url)
        return socket if socket is not None and socket.usable and socket.silence <= SILENCE else None

    async def _open(self, target: Target, token: str, exchange: StreamExchange) -> ReceiverSocket:
        while True:
            socket, fresh = await self._socket(target, token)
            if await self._enter(socket, token, exchange, fresh=fresh):
                return socket

    async def _enter(self, socket: ReceiverSocket, token: str, exchange: StreamExchange, *, fresh: bool) -> bool:
        """Open a stream on `socket`. False when another socket has to be used; raises when the invocation is lost."""
        try:
            stream = socket.mux.open_token(token.encode("latin-1"), exchange)
        except LocalError:
            self._forget(socket)
            return False
        try:
            await self._accepts.wait(exchange.attach(stream))
        except (StreamLost, StreamRefused) as error:
            # The token was not accepted, so nothing has run. A kept socket may have been dead for long, or its
            # receiver about to go away; should the token have been consumed all the same, the next socket is told.
            if fresh or (isinstance(error, StreamRefused) and error.code != Refusal.UNAVAILABLE):
                self.release(socket)
                raise
            self._forget(socket)
            return False
        except (asyncio.TimeoutError, asyncio.CancelledError):
            stream.end(Verdict.UNAVAILABLE, code="dial_timeout")
            self.release(socket)
            raise
        return True

    async def _socket(self, target: Target, token: str) -> tuple[ReceiverSocket, bool]:
        """A socket that may be used, and whether it was dialled just now for this invocation."""
        if not self._keep:
            return await self._dial(target, token), True
        while True:
            task, fresh = self._kept.get(target), False
            if task is None:
                task, fresh = asyncio.ensure_future(self._dial(target, token)), True
                task.add_done_callback(_retrieve)
                self._kept[target] = task
            try:
                # Shielded: others wait for the same dial.
                socket = await asyncio.shield(task)
            except DialFailed:
                if self._kept.get(target) is task:
                    del self._kept[target]
                if not fresh:
                    # It was another invocation's dial: its token was refused, or it began when nobody could be reached.
                    continue
                raise
            if socket.usable and await self._is_alive(socket):
                return socket, fresh
            self._forget(socket)
            if fresh:
                raise DialFailed("the receiver closed the socket at once")

    async def _is_alive(self, socket: ReceiverSocket) -> bool:
        if socket.silence <= SILENCE:
            return True
        if await socket.answers(PING_TIME):
            return True
        socket.abort()
        return False

    def _is_kept(self, socket: ReceiverSocket) -> bool:
        task = self._kept.get(socket.target)
        return task is not None and _dialled(task) is socket

    def _forget(self, socket: ReceiverSocket) -> None:
        """Open nothing more on `socket`; it closes when its last stream is over."""
        self._keep_no_longer(socket)
        self.release(socket)

    async def _dial(self, target: Target, token: str) -> ReceiverSocket:
        socket = await dial(
            target, token, self._dial_timeout, on_over=self._over, on_invoke=self._invoked, clock=self._clock
        )
        self._sockets.add(socket)
        return socket

    def _invoked(self, socket: ReceiverSocket, invoke: Invoke) -> None:
        self.on_invoke(socket, invoke)

    def _keep_no_longer(self, socket: ReceiverSocket) -> None:
        if self._is_kept(socket):
            del self._kept[socket.target]
            self._ready = {url: each for url, each in self._ready.items() if each is not socket}

    def _over(self, socket: ReceiverSocket) -> None:
        self._keep_no_longer(socket)
        self._sockets.discard(socket)
        if not self._sockets:
            self._gone.set()


def _dialled(task: asyncio.Task[ReceiverSocket]) -> ReceiverSocket | None:
    """The socket that `task` dialled; None when it has not, or could not."""
    if not task.done() or task.cancelled() or task.exception() is not None:
        return None
    return task.result()


def _retrieve(task: asyncio.Task[ReceiverSocket]) -> None:
    """Whoever waited for the dial may have given up: then nobody asks for its exception."""
    if not task.cancelled():
        task.exception()
