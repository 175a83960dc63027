"""Versions through the control API: listed with their environments, rolled back, and deployed under one's eyes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dialback_invoker.control import deploy_events
from dialback_invoker.environments.environment import Environment, Package
from dialback_invoker.errors import BuildFailed

LINES = {"Content-Type": "application/gzip", "Accept": "application/json, application/x-ndjson"}
PATH = "/v1/functions/chat/deployments"


class Builds:
    """Environments whose builds a test leads: each says what it is told to say, then waits for the gate."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.lines = ["installing requirements.txt", "Resolved 2 packages"]
        self.error: Exception | None = None
        self.made: Environment | None = Environment(
            "k" * 32, Path("/e"), "3.12.4", "requirements.txt", (Package("rich", "14.0"),), 5
        )
        self.there = True

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def of(self, key: str) -> Environment | None:
        return self.made if self.there else None

    def python_of(self, key: str) -> None:
        return None

    def remove_unused(self, keys: object) -> Any:
        return list

    @asynccontextmanager
    async def provided(self, tree: Path, config: object, tell: Any) -> AsyncIterator[Environment | None]:
        for line in self.lines:
            tell(line)
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error is not None:
            raise self.error
        yield self.made


@pytest.fixture
def builds(control: Any) -> Builds:
    made = Builds()
    control.services.deployer.environments = made
    control.services.deployer.collector._environments = made
    return made


async def read(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next line that is not about waiting."""
    while True:
        event = json.loads(await asyncio.wait_for(response.content.readline(), 30))
        if event["event"] != "waiting":
            return event


async def test_versions_are_listed_with_their_environment(control: Any, builds: Builds) -> None:
    builds.gate.set()
    await control.deploy()
    _, made = await control.deploy(app__py=b"app = 2\n")
    environment = {
        "key": "k" * 32,
        "python": "3.12.4",
        "source": "requirements.txt",
        "packages": {"rich": "14.0"},
        "size": 5,
    }
    assert made["environment"] == environment
    _, listed = await control.ask("GET", PATH)
    first, second = listed["deployments"]
    assert (first["active"], first["running"], first["size"]) == (True, False, len("app = 2\n"))
    assert first["environment"] == environment
    assert second["active"] is False
    assert (await control.ask("GET", "/v1/deployments")) == (200, listed)
    builds.there = False
    _, listed = await control.ask("GET", PATH)
    gone = {"key": "k" * 32, "python": None, "source": None, "packages": {}, "size": None}
    assert listed["deployments"][0]["environment"] == gone


async def test_a_rollback_activates_an_earlier_version(control: Any) -> None:
    _, first = await control.deploy()
    _, second = await control.deploy(app__py=b"app = 2\n")
    status, body = await control.ask("POST", "/v1/functions/Chat/rollback", json={})
    assert (status, body["deployment"], body["unchanged"]) == (200, first["deployment"], False)
    status, body = await control.ask("POST", "/v1/functions/chat/rollback", json={"deployment": second["deployment"]})
    assert (status, body["deployment"]) == (200, second["deployment"])
    assert body["environment"] is None
    status, body = await control.ask("POST", "/v1/functions/chat/rollback", json={"deployment": "d_nope"})
    assert (status, body["error"]["code"]) == (404, "deployment_not_found")
    status, body = await control.ask("POST", "/v1/functions/chat/rollback", json={"id": "x"})
    assert (status, body["error"]["message"]) == (400, "id: unknown key")
    status, body = await control.ask("POST", "/v1/functions/nobody/rollback", json={})
    assert status == 404


async def test_an_installation_can_be_watched_to_its_end(control: Any, builds: Builds) -> None:
    data = control.bundle(app__py=b"app = 1\n")
    async with control.session.post(PATH, data=data, headers=LINES) as response:
        assert response.status == 200
        assert response.content_type == "application/x-ndjson"
        assert await read(response) == {"event": "progress", "text": "installing requirements.txt"}
        assert await read(response) == {"event": "progress", "text": "Resolved 2 packages"}
        builds.gate.set()
        last = await read(response)
        assert (last["event"], last["deployed"]["name"]) == ("deployed", "chat")
        assert await response.content.read() == b""


async def test_an_installation_that_fails_says_so_in_its_last_line(control: Any, builds: Builds) -> None:
    builds.error = BuildFailed("no such thing", file="requirements.txt")
    builds.gate.set()
    async with control.session.post(PATH, data=control.bundle(app__py=b"app = 1\n"), headers=LINES) as response:
        await read(response)
        await read(response)
        error = {"code": "build_failed", "message": "no such thing", "file": "requirements.txt"}
        assert await read(response) == {"event": "failed", "status": 400, "error": error}
    assert (await control.ask("GET", PATH))[0] == 404


async def test_a_silent_installation_says_that_it_goes_on(
    control: Any, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy_events, "WAITING_EVERY", 0.01)
    async with control.session.post(PATH, data=control.bundle(app__py=b"app = 1\n"), headers=LINES) as response:
        while json.loads(await asyncio.wait_for(response.content.readline(), 30)) != {"event": "waiting"}:
            pass
        builds.gate.set()


async def test_who_leaves_ends_the_installation(control: Any, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy_events, "WAITING_EVERY", 0.01)
    response = await control.session.post(PATH, data=control.bundle(app__py=b"app = 1\n"), headers=LINES)
    await asyncio.wait_for(builds.entered.wait(), 30)
    response.close()
    await asyncio.wait_for(builds.cancelled.wait(), 30)


async def test_a_deploy_without_progress_answers_as_always_and_so_do_early_mistakes(control: Any) -> None:
    async with control.session.post(PATH, data=control.bundle(app__py=b"app = 1\n"), headers=LINES) as response:
        assert (response.status, response.content_type) == (201, "application/json")
    bad = control.bundle(app__py=b"", dialback__toml=b"nope = 1\n")
    async with control.session.post(PATH, data=bad, headers=LINES) as response:
        assert response.status == 400
    rollback = "/v1/functions/chat/rollback"
    async with control.session.post(rollback, json={}, headers={"Accept": "application/x-ndjson"}) as response:
        assert response.status == 409


async def test_a_flood_of_progress_is_cut_and_not_kept(control: Any, builds: Builds) -> None:
    builds.lines = ["x" * 10_000] * 5000
    builds.gate.set()
    async with control.session.post(PATH, data=control.bundle(app__py=b"app = 1\n"), headers=LINES) as response:
        lines = (await response.read()).splitlines()
    assert len(lines) <= 1002
    assert len(lines[0]) < 3000
    assert json.loads(lines[-1])["event"] == "deployed"
