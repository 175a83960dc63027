"""GET /v1/events: what is there, then what changes, to everybody who watches and in bounds."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dialback_invoker.control import events
from dialback_invoker.control.ports import WorkerFacts
from dialback_invoker.store.port import LogLine

Event = tuple[str, dict[str, Any]]


class Stream:
    """The events of one watcher, read as they come."""

    def __init__(self, response: Any) -> None:
        self.response = response

    async def next(self) -> Event | None:
        name, data = "", ""
        async with asyncio.timeout(30):
            while line := (await self.response.content.readline()).decode():
                if line.startswith("event: "):
                    name = line[7:-1]
                elif line.startswith("data: "):
                    data = line[6:-1]
                elif line == "\n" and data:
                    return name, json.loads(data)
        return None

    async def until(self, wanted: str) -> dict[str, Any]:
        """The data of the next event of that name."""
        while (found := await self.next()) is not None:
            if found[0] == wanted:
                return found[1]
        raise AssertionError(f"the stream ended before {wanted}")


@asynccontextmanager
async def watching(control: Any) -> AsyncIterator[Stream]:
    async with control.session.get("/v1/events") as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        yield Stream(response)


def worker(state: str = "idle", rss: int = 10_000_000) -> WorkerFacts:
    return WorkerFacts("w_1", "chat", "d_1", state, 4711, 0, 1, 1.0, rss)


def trace(identity: str) -> dict[str, Any]:
    return {"id": identity, "function": "chat", "received_at": 50.0, "marks": [{"name": "received", "t": 0}]}


async def test_it_begins_with_what_is_there(control: Any) -> None:
    await control.deploy()
    control.platform.running = [worker()]
    control.platform.live = [trace("live")]
    control.services.recorder.record(trace("old"))
    control.services.logs.append("chat", "printed before", invocation="old")
    async with watching(control) as stream:
        told = [await stream.next() for _ in range(5)]
    names = [event[0] for event in told if event]
    assert names == ["platform", "live", "functions", "workers", "recent"]
    data = dict(event for event in told if event)
    assert data["platform"].items() >= {"status": "ready", "version": "0.1.0"}.items()
    assert data["live"] == {"count": 1, "invocations": [{"id": "live", "function": "chat", "received_at": 50.0}]}
    assert [one["name"] for one in data["functions"]["functions"]] == ["chat"]
    assert data["workers"]["workers"][0]["rss_bytes"] == 9 << 20, "memory is told in whole mebibytes"
    assert [one["id"] for one in data["recent"]["invocations"]] == ["old"]
    assert [one["line"] for one in data["recent"]["lines"]] == ["printed before"]


async def test_what_happens_is_told_to_everybody(control: Any) -> None:
    async with watching(control) as one, watching(control) as other:
        for stream in (one, other):
            await stream.until("recent")
        control.services.watchers.ended({"id": "new", "function": "chat"})
        control.services.logs.append("chat", "printed now")
        control.platform.now = "draining"
        await control.deploy()
        for stream in (one, other):
            assert (await stream.until("ended"))["invocations"] == [{"id": "new", "function": "chat"}]
        control.services.logs.append("chat", "and later")
        for stream in (one, other):
            lines: list[str] = []
            while len(lines) < 2:
                lines += [line["line"] for line in (await stream.until("log"))["lines"]]
            assert lines == ["printed now", "and later"]


async def test_what_does_not_change_is_not_told_again(control: Any) -> None:
    async with watching(control) as stream:
        await stream.until("recent")
        control.platform.running = [worker("busy")]
        control.services.watchers.worker_changed()
        assert await stream.next() == ("workers", {"workers": [control_worker("busy")]})
        control.services.watchers.worker_changed()
        control.platform.live = [trace("live")]
        found = await stream.next()
        assert found is not None
        assert found[0] == "live"


def control_worker(state: str) -> dict[str, Any]:
    return {
        "id": "w_1", "function": "chat", "deployment": "d_1", "state": state, "pid": 4711, "in_flight": 0, "served": 1,
        "started_at": 1.0, "rss_bytes": 9 << 20,
    }  # fmt: skip


async def test_too_many_watchers_are_refused_and_one_that_left_makes_room(control: Any) -> None:
    async with watching(control), watching(control):
        async with watching(control):
            status, body = await control.ask("GET", "/v1/events")
            assert (status, body["error"]["code"]) == (503, "too_many_watchers")
        async with asyncio.timeout(30):
            while len(control.services.watchers._all) > 2:
                await asyncio.sleep(0.01)
        async with watching(control) as stream:
            await stream.until("recent")


async def test_the_streams_end_when_the_platform_stops(control: Any) -> None:
    async with watching(control) as stream:
        await stream.until("recent")
        control.services.watchers.close()
        while await stream.next() is not None:
            pass


async def test_a_reader_that_takes_nothing_is_cut_off_and_holds_little(
    control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PATIENCE", 0.2)
    monkeypatch.setattr(events, "PAUSE", 0.01)
    reader, writer = await asyncio.open_connection(*control.session._base_url.raw_authority.split(":"), limit=1024)
    head = f"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {control.token}\r\n\r\n"
    writer.write(head.encode())
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    async with asyncio.timeout(30):
        while control.services.watchers:
            for _ in range(500):
                control.services.watchers.line(LogLine(1, 1.0, "chat", "", "", "stdout", "INFO", "x" * 8000))
            await asyncio.sleep(0.01)
    writer.close()


async def test_without_a_token_nothing_is_told(control: Any) -> None:
    async with control.session.get("/v1/events", headers={"Authorization": "Bearer no"}) as response:
        assert response.status == 401
