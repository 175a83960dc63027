"""Starting and stopping the invoker: what it says when it cannot start, and that nothing is left of it."""

import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dialback_invoker.errors import DataFolderBusy, DialbackError, PathProblem, PlatformFailure, StoreCorrupt
from dialback_invoker.service import InvokerService
from dialback_invoker.settings import InvokerSettings, TcpAddress

from .conftest import Stage
from .node import Node

Made = Callable[[Node], Awaitable[Any]]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., InvokerSettings]:
    run = Path("/tmp") / f"db-{tmp_path.name[-12:]}"
    run.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    yield lambda **more: InvokerSettings(
        **{"data_dir": tmp_path / "data", "control": TcpAddress(host="127.0.0.1", port=0), **more}
    )
    assert list(run.iterdir()) == [], "the run folder is gone after every start that failed and every stop"
    run.rmdir()


Settings = Callable[..., InvokerSettings]


async def fails(settings: InvokerSettings, kind: type[DialbackError], words: str) -> None:
    service = InvokerService(settings)
    with pytest.raises(kind, match=words):
        await service.start()
    assert not service.run.root.exists()


@pytest.fixture
def taken() -> Any:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield TcpAddress(host="127.0.0.1", port=holder.getsockname()[1])


@pytest.mark.parametrize(("name", "flag"), [("receiver", "--receiver"), ("link", "--link"), ("control", "")])
async def test_a_port_in_use_is_named_with_its_flag(
    settings: Settings, taken: TcpAddress, name: str, flag: str
) -> None:
    await fails(settings(**{name: taken}), DialbackError, f"{taken.port}.*{flag}")
    service = InvokerService(settings())
    await service.start()
    await service.stop()


async def test_a_link_socket_that_cannot_be_made_is_named(settings: Settings) -> None:
    await fails(settings(link=Path("/nonexistent/link")), PlatformFailure, "/nonexistent/link")


async def test_a_key_file_that_is_missing_or_empty_is_named(settings: Settings, tmp_path: Path) -> None:
    key = tmp_path / "key"
    await fails(settings(link_key_file=key), PathProblem, str(key))
    key.write_text("\n")
    await fails(settings(link_key_file=key), PathProblem, "is empty")


async def test_a_corrupt_database_is_named_and_left_alone(settings: Settings, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "dialback.db").write_bytes(b"this is no database" * 1000)
    await fails(settings(), StoreCorrupt, "dialback.db")
    assert (data / "dialback.db").read_bytes().startswith(b"this is no database")


async def test_a_second_invoker_on_the_same_folder_is_refused_and_the_first_serves_on(settings: Settings) -> None:
    first = InvokerService(settings())
    await first.start()
    with pytest.raises(DataFolderBusy):
        await InvokerService(settings()).start()
    assert first.run.receiver_socket.exists()
    await first.stop()


async def test_secrets_and_sockets_are_their_owners_alone(settings: Settings) -> None:
    service = InvokerService(settings())
    await service.start()
    for path in (
        service.data.link_key,
        service.data.control_token,
        service.run.link_socket,
        service.run.receiver_socket,
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(service.run.root.stat().st_mode) == 0o700
    key = service.data.link_key.read_bytes()
    assert service.memory_enforcement in ("cgroup", "watch")
    await service.stop()
    again = InvokerService(settings())
    await again.start()
    assert again.data.link_key.read_bytes() == key
    await again.stop()


async def test_a_link_over_tcp_takes_edges(settings: Settings) -> None:
    service = InvokerService(settings(link=TcpAddress(host="127.0.0.1", port=0)))
    await service.start()
    await service.stop()


async def test_a_failure_while_stopping_does_not_keep_the_rest_from_stopping(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    service = InvokerService(settings())
    await service.start()

    def broken() -> None:
        raise RuntimeError("cannot stop this")

    service._undo.append(broken)
    await service.stop()
    assert "cannot stop this" in caplog.text
    assert not service.run.root.exists()


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("ws://invoker.example:9000/", ("ws", "invoker.example", 9000)),
        ("wss://invoker.example", ("wss", "invoker.example", 443)),
        ("ws://invoker.example", ("ws", "invoker.example", 80)),
        ("ws://[::1]:9000", ("ws", "[::1]", 9000)),
    ],
)
async def test_workers_are_told_the_receivers_own_name(made: Made, url: str, allowed: tuple[str, str, int]) -> None:
    stage = await made(Stage(receiver=TcpAddress(host="127.0.0.1", port=0), receiver_url=url))
    await stage.deploy_puppet()
    _, puppet, given = await stage.invoked()
    assert given.event["dialback"]["url"] == url.rstrip("/") + "/callback/v1"
    assert (puppet.receiver["scheme"], puppet.receiver["host"], puppet.receiver["port"]) == allowed


async def test_a_receiver_on_ipv6_is_written_in_brackets(made: Made) -> None:
    stage = await made(Stage(receiver=TcpAddress(host="::1", port=0)))
    await stage.deploy_puppet()
    _, puppet, given = await stage.invoked()
    port = puppet.receiver["port"]
    assert given.event["dialback"]["url"] == f"ws://[::1]:{port}/callback/v1"
    assert puppet.receiver["host"] == "[::1]"
    node = await made(Node(receiver=TcpAddress(host="::1", port=0)))
    await node.deploy("real")
    assert (await node.http.get("/@real/")).text == "hi\n", "the real bridge dials it too"


async def test_the_platform_says_what_it_is(stage: Stage) -> None:
    facts = (await stage.control.get("/v1/platform")).json()
    assert facts["public_url"] == stage.url
    assert facts["control_url"] == stage.invoker.control_url
    assert facts["launcher"] == "process"
    health = await stage.control.get("/_dialback/health")
    assert (health.status_code, health.json()["status"]) == (200, "ready")
    (function,) = (await stage.control.get("/v1/functions")).json()["functions"]
    assert function["urls"] == [f"{stage.url}/@f/", f"http://f.localhost:{stage.port}/"]


async def test_without_an_edge_a_function_has_no_address_yet(made: Made) -> None:
    stage = await made(Stage())
    stage.invoker.public_url = ""
    await stage.deploy_puppet()
    (function,) = (await stage.control.get("/v1/functions")).json()["functions"]
    assert function["urls"] == []
    assert (await stage.control.get("/v1/invocations/last")).status_code == 404
    assert (await stage.control.get("/v1/invocations/" + "0" * 26)).status_code == 404
