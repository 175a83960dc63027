"""A deploy that is watched: its progress as one JSON object a line, and its outcome as the last.

Whoever accepts ``application/x-ndjson`` gets lines once there is progress to tell; a deploy that has none, because
nothing is installed, answers as if it were not watched, with a status of its own. Whoever leaves in the middle ends the
installation, unless somebody else waits for the same one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.routing import NDJSON, answer
from dialback_invoker.environments.builder import Tell
from dialback_invoker.errors import DialbackError

WAITING_EVERY: Final = 1.0
"""Seconds of silence after which a line says that it goes on; with that we notice who has left."""
LONGEST: Final = 2000  # characters of a line of progress
_BACKLOG: Final = 1000  # lines that may wait for a slow reader; more are left out


def accepts_lines(request: web.Request) -> bool:
    """Whether the asker wants to watch."""
    return NDJSON in request.headers.get("Accept", "")


async def answer_with_progress(
    request: web.Request, work: Callable[[Tell], Awaitable[models.Deployed]], *, status: int
) -> web.StreamResponse:
    """Do ``work`` and answer with what it tells. ``status``: of an answer without lines.

    Raises what ``work`` raises before its first line; later failures are the last line.
    """
    lines: asyncio.Queue[str] = asyncio.Queue(_BACKLOG)

    def tell(line: str) -> None:
        if not lines.full():
            lines.put_nowait(line[:LONGEST])

    async def run() -> models.Deployed:
        return await work(tell)

    task = asyncio.create_task(run(), name="deploy")
    try:
        first = asyncio.create_task(lines.get())
        await asyncio.wait({task, first}, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            first.cancel()
            return answer(await task, status=status)
        response = web.StreamResponse(headers={"Content-Type": NDJSON, "Cache-Control": "no-store"})
        await response.prepare(request)
        await _send(response, models.DeployEvent(event="progress", text=first.result()))
        await _follow(response, task, lines)
        await _send(response, _last(task))
        await response.write_eof()
        return response
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _follow(response: web.StreamResponse, task: asyncio.Task[models.Deployed], lines: asyncio.Queue[str]) -> None:
    """Until the work is done and all that it told was sent."""
    while not task.done() or not lines.empty():
        line = asyncio.create_task(lines.get())
        await asyncio.wait({task, line}, timeout=WAITING_EVERY, return_when=asyncio.FIRST_COMPLETED)
        if line.done():
            await _send(response, models.DeployEvent(event="progress", text=line.result()))
            continue
        line.cancel()
        if not task.done():
            await _send(response, models.DeployEvent(event="waiting"))


def _last(task: asyncio.Task[models.Deployed]) -> models.DeployEvent:
    try:
        return models.DeployEvent(event="deployed", deployed=task.result())
    except DialbackError as error:
        body = models.ErrorBody.model_validate(error.as_dict())
        return models.DeployEvent(event="failed", status=error.http_status, error=body)


async def _send(response: web.StreamResponse, event: models.DeployEvent) -> None:
    await response.write(event.model_dump_json(exclude_none=True).encode() + b"\n")
