"""`dialback check` against real servers: the probe itself, a proxy that buffers, compression, and what is no stream."""

import asyncio
import gzip
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from command import Process

from dialback.checking.probe import FOLDER
from dialback.simulators.conditions import Conditions
from dialback.simulators.proxy import Simulator
from dialback.testing import TestPlatform

QUICK = ("--chunks", "6")


def probe_app() -> Any:
    spec = importlib.util.spec_from_file_location("probe_template", FOLDER / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


class Servers:
    """The probe and what stands in front of it, in a thread; `start` answers with the port."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self._undo: list[Callable[[], Any]] = []

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def app(self, app: Any) -> int:
        config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)

        async def start() -> int:
            await server.startup()
            return int(server.servers[0].sockets[0].getsockname()[1])

        port = self.run(start())
        self._undo.append(server.shutdown)
        return int(port)

    def simulator(self, port: int, conditions: Conditions) -> int:
        simulator = Simulator(conditions, "127.0.0.1", port)
        _, opened = self.run(simulator.start("127.0.0.1", 0))
        self._undo.append(lambda: simulator.close(0.0))
        return int(opened)

    def stop(self) -> None:
        for undo in reversed(self._undo):
            self.run(undo())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        self.loop.close()


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.stop()


@pytest.fixture
def probe(servers: Servers) -> int:
    return servers.app(probe_app())


def gzipped(app: Any) -> Any:
    """As a proxy that compresses: the whole, in one."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        head: list[Any] = []
        body = bytearray()

        async def keep(message: Any) -> None:
            if message["type"] == "http.response.start":
                head.append(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                packed = gzip.compress(bytes(body))
                fields = [(name, value) for name, value in head[0]["headers"] if name != b"cache-control"]
                fields += [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(packed))]
                await send(head[0] | {"headers": fields})
                await send({"type": "http.response.body", "body": packed})

        await app(scope, receive, keep)

    return wrapped


def test_a_clean_way_streams(spawn: Callable[..., Process], probe: int) -> None:
    done = spawn("check", f"http://127.0.0.1:{probe}/", *QUICK, "--type", "text/event-stream")
    assert done.code == 0, done.stdout
    assert b"streams" in done.stdout
    assert b"6 chunks arrived as they were sent" in done.stdout


def test_a_proxy_that_buffers_is_found_with_its_blocks_and_its_place(
    spawn: Callable[..., Process], servers: Servers, probe: int
) -> None:
    proxy = servers.simulator(probe, Conditions(buffering_proxy=True))
    near, far = f"http://127.0.0.1:{probe}", f"http://127.0.0.1:{proxy}"
    done = spawn("check", f"{far}/", "--direct", f"{near}/", *QUICK, "--json")
    assert done.code == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["block"]) == ("in blocks", 4096)
    assert found["where"].startswith(f"between {near} and {far}")
    assert [way["verdict"] for way in found["ways"]] == ["in blocks", "streams"]


def test_the_probe_is_deployed_for_the_time_of_the_check(spawn: Callable[..., Process]) -> None:
    with TestPlatform() as platform:
        reach = {
            "DIALBACK_CONTROL_URL": platform.control_url,
            "DIALBACK_CONTROL_TOKEN": platform.control.where.token,
        }
        done = spawn("check", platform.url, "--probe", *QUICK, "--json", **reach)
        assert done.code == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["verdict"], found["ways"][0]["marks"]) == ("streams", 6)
        assert platform.control.functions().functions == ()


def test_compression_on_the_way_is_found(spawn: Callable[..., Process], servers: Servers) -> None:
    port = servers.app(gzipped(probe_app()))
    done = spawn("check", f"http://127.0.0.1:{port}/", *QUICK, "--json")
    assert done.code == 1
    found = json.loads(done.stdout)
    assert found["verdict"] == "buffered"
    said = "\n".join(found["reasons"])
    for words in ("compressed it on the way", "content-length was added", "lost its no-transform"):
        assert words in said


def answering(*parts: bytes, status: int = 200, wait: float = 0.0, fields: Any = ()) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(fields)})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(wait)
        await send({"type": "http.response.body", "body": b""})

    return app


def test_any_other_answer_is_judged_by_its_pieces(spawn: Callable[..., Process], servers: Servers) -> None:
    port = servers.app(answering(*[b"some" * n for n in range(1, 9)], wait=0.15))
    done = spawn("check", f"http://127.0.0.1:{port}/", "-H", "X-Mine: 1")
    assert done.code == 0, done.stdout
    assert b"8 pieces arrived over" in done.stdout


def test_an_endless_answer_is_watched_for_a_while(spawn: Callable[..., Process], servers: Servers) -> None:
    port = servers.app(answering(*[b"again" * n for n in range(1, 200)], wait=0.1))
    done = spawn("check", f"http://127.0.0.1:{port}/", "--for", "1s")
    assert done.code == 0, done.stdout


@pytest.mark.parametrize(
    ("app", "code", "said"),
    [
        (answering(b"quick"), 2, b"--probe"),
        (answering(b"no", status=404), 2, b"answered 404"),
        (answering(), 2, b"without a body"),
        (answering(b"x", fields=[(b"content-length", b"90")]), 2, b""),
        (answering(b"\x1f\x8bno gzip", fields=[(b"content-encoding", b"gzip")]), 2, b"could not be read"),
    ],
)
def test_what_tells_nothing_is_no_verdict(
    spawn: Callable[..., Process], servers: Servers, app: Any, code: int, said: bytes
) -> None:
    done = spawn("check", f"http://127.0.0.1:{servers.app(app)}/")
    assert done.code == code, done.stdout
    assert said in done.stdout + done.stderr.encode()


def test_addresses_that_lead_nowhere_are_said(spawn: Callable[..., Process]) -> None:
    assert spawn("check", "http://127.0.0.1:1/").code == 3
    assert spawn("check", "ftp://127.0.0.1/").code == 2
    assert spawn("check", "http://127.0.0.1:1/", "--probe").code == 3
