"""Where a stream's items come from: an asynchronous iterable, a synchronous one, or an awaitable, which is one item.

A source runs in a task of its own, from its first item to its `finally`, so that whatever it holds on to across its
items (a time-out, a task group, a connection) belongs to one task. A synchronous one runs in a thread of its own. In
between is a bounded queue: a source is never further ahead than that.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any

from ..exchange import ClientGone
from ..handlers.items import pull, pull_async
from ..handlers.threads import LoopCaller

Source = AsyncIterable[Any] | Iterable[Any] | Awaitable[Any]
Put = Callable[[Any], Awaitable[None]]


def check_source(source: object) -> None:
    """Raise TypeError for what is no source; a str or bytes would be one of its letters."""
    if isinstance(source, (str, bytes, bytearray, dict)) or not (
        isinstance(source, (AsyncIterable, Iterable)) or inspect.isawaitable(source)
    ):
        raise TypeError(f"a stream's source is an iterable, asynchronous or not, and not {type(source).__name__}")


async def drain(source: Source, put: Put) -> None:
    """Give all items of `source` to `put`, and close it, whatever happens."""
    if isinstance(source, AsyncIterable):
        await pull_async(source, put)
    elif inspect.isawaitable(source):
        await put(await source)
    elif isinstance(source, (list, tuple, range)):
        for item in source:
            await put(item)
    else:
        await _drain_in_thread(source, put)


async def _drain_in_thread(source: Iterable[Any], put: Put) -> None:
    """Make, advance and close the iterator in one thread.

    Nothing can stop a thread: a cancelled source learns of it at its next item, and is waited for until then.
    """
    call = LoopCaller()
    done: asyncio.Future[None] = call.loop.create_future()
    left = False

    async def give(item: Any) -> None:
        if left:
            raise ClientGone("nobody takes the stream's items any more")
        await put(item)

    def run() -> None:
        try:
            pull(source, give, call)
        except BaseException as error:
            failure: BaseException | None = error
        else:
            failure = None
        call.loop.call_soon_threadsafe(_settle, done, failure)

    # Not a pool's: it would have to be as large as there are streams, or they would wait for one another.
    threading.Thread(target=contextvars.copy_context().run, args=(run,), name="dialback-source", daemon=True).start()
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError as error:
            cancelled, left = error, True
    if cancelled is not None:
        done.exception()
        raise cancelled
    done.result()


def _settle(done: asyncio.Future[None], failure: BaseException | None) -> None:
    if failure is None:
        done.set_result(None)
    elif isinstance(failure, StopIteration):  # which no future takes
        done.set_exception(RuntimeError("the source raised StopIteration"))
    else:
        done.set_exception(failure)


def discard(source: Source) -> None:
    """Close a source that was never begun: a coroutine would complain, a stream has sources of its own."""
    close = getattr(source, "close", None)
    if close is not None:
        close()
