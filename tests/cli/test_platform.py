"""The composition of the services, in this process and on free ports: they start, serve, drain and stop."""

import asyncio
import gc
import io
import os
import signal
import socket
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from tests.certificates import Authority

from dialback.errors import StartProblem, UsageProblem
from dialback.platform import run_edge, run_invoker, run_platform
from dialback.ready import Ready
from dialback.settings import Settings, resolve

BOUND = 30.0
SLOW = b"""
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await asyncio.sleep(float(scope["query_string"] or b"0"))
    await send({"type": "http.response.body", "body": b" ended"})
"""

Service = Callable[[Settings, Callable[[Ready], "asyncio.Future[bool]"]], Coroutine[None, None, int]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], object]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A service ignores signals once it is over, and tunes the interpreter, because the process is its own; this one
    is not.
    """
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Short, because the paths of Unix sockets are."""
    with tempfile.TemporaryDirectory(prefix="db-", dir="/tmp") as path:
        run = Path(path) / "run"
        run.mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
        monkeypatch.delenv("DIALBACK_DATA_DIR", raising=False)
        yield Path(path)
        assert list(run.iterdir()) == [], "the run folder is gone"


Configure = Callable[..., Settings]


@pytest.fixture
def settings(folder: Path) -> Configure:
    def configure(**flags: str) -> Settings:
        given = {"port": "0", "control_port": "0", "data_dir": str(folder / "data"), **flags}
        return resolve(given, {}, folder)

    return configure


class Running:
    """A service that is ready."""

    def __init__(self, ready: Ready, task: "asyncio.Task[int]") -> None:
        self.ready = ready
        self.task = task

    def signal(self, number: int = signal.SIGTERM) -> None:
        os.kill(os.getpid(), number)

    async def code(self) -> int:
        return await asyncio.wait_for(asyncio.shield(self.task), BOUND)

    async def deploy(self, code: bytes = SLOW) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            info = tarfile.TarInfo("app.py")
            info.size = len(code)
            tar.addfile(info, io.BytesIO(code))
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{self.ready.control_url}/v1/functions/slow/deployments",
                content=packed.getvalue(),
                headers={
                    "authorization": f"Bearer {self.ready.control_token}",
                    "content-type": "application/gzip",
                },
                timeout=BOUND,
            )
        assert answer.status_code == 201, answer.text


@asynccontextmanager
async def running(service: Service, settings: Settings) -> AsyncIterator[Running]:
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    announced: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    announced.set_result(False)

    def announce(said: Ready) -> "asyncio.Future[bool]":
        ready.set_result(said)
        return announced

    task = asyncio.create_task(service(settings, announce))
    await asyncio.wait({task, ready}, timeout=BOUND, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield Running(ready.result(), task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def get(url: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=BOUND) as client:
        return await client.get(url, **options)


async def test_the_platform_serves_a_function_and_ends_at_a_signal_with_0(settings: Configure) -> None:
    async with running(run_platform, settings()) as platform:
        await platform.deploy()
        url = platform.ready.public_url
        assert url.startswith("http://127.0.0.1:")
        assert (await get(f"{url}/@slow/")).text == "begun ended"
        assert (await get(f"{url}/_dialback/health")).status_code == 200
        assert (platform.ready.launcher, platform.ready.memory_enforcement in ("cgroup", "watch")) == ("process", True)
        platform.signal()
        assert await platform.code() == 0
        with pytest.raises(httpx.ConnectError):
            await get(url)


async def test_the_functions_addresses_carry_the_public_url_that_was_set(settings: Configure) -> None:
    async with running(run_platform, settings(public_url="https://functions.example")) as platform:
        assert platform.ready.public_url == "https://functions.example"


async def test_a_stream_that_runs_ends_well_after_the_first_signal(settings: Configure) -> None:
    async with running(run_platform, settings()) as platform:
        await platform.deploy()
        async with (
            httpx.AsyncClient(timeout=BOUND) as client,
            client.stream("GET", f"{platform.ready.public_url}/@slow/?0.5") as response,
        ):
            pieces = response.aiter_text()
            assert await anext(pieces) == "begun"
            platform.signal()
            assert "".join([piece async for piece in pieces]) == " ended"
        assert await platform.code() == 0


@pytest.mark.parametrize("second", [True, False])
async def test_a_second_signal_or_the_end_of_the_grace_cuts_what_runs_and_exits_1(
    settings: Configure, second: bool
) -> None:
    async with running(run_platform, settings(drain_grace="30" if second else "0.2")) as platform:
        await platform.deploy()
        async with (
            httpx.AsyncClient(timeout=BOUND) as client,
            client.stream("GET", f"{platform.ready.public_url}/@slow/?60") as response,
        ):
            pieces = response.aiter_text()
            assert await anext(pieces) == "begun"
            platform.signal(signal.SIGINT)
            if second:
                async with asyncio.timeout(BOUND):
                    while (await get(f"{platform.ready.control_url}/_dialback/health")).status_code != 503:
                        pass
                platform.signal(signal.SIGINT)
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await anext(pieces)
        assert await platform.code() == 1


async def test_edge_and_invoker_on_their_own_find_each_other_in_the_run_folder(settings: Configure) -> None:
    async with running(run_invoker, settings()) as invoker, running(run_edge, settings()) as edge:
        await invoker.deploy()
        assert (invoker.ready.public_url, edge.ready.control_url) == ("", "")
        assert (await get(f"{edge.ready.public_url}/@slow/")).text == "begun ended"
        answer = await get(
            f"{invoker.ready.control_url}/v1/platform",
            headers={"authorization": f"Bearer {invoker.ready.control_token}"},
        )
        assert answer.json()["public_url"] == edge.ready.public_url


@pytest.mark.parametrize("service", [run_invoker, run_edge])
async def test_each_service_ends_at_a_signal_with_0(settings: Configure, service: Service) -> None:
    async with running(run_invoker, settings()) as invoker:
        if service is run_invoker:
            invoker.signal()
            assert await invoker.code() == 0
        else:
            invoker.task.cancel()
            await asyncio.gather(invoker.task, return_exceptions=True)
            async with running(run_edge, settings()) as edge:
                assert (await get(f"{edge.ready.public_url}/@slow/")).status_code == 503
                edge.signal()
                assert await edge.code() == 0


async def test_the_link_may_be_tcp_or_a_socket_of_ones_own(settings: Configure, folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for link in (f"tcp://127.0.0.1:{port}", f"unix:{folder}/own.sock"):
        both = settings(link=link)
        async with running(run_invoker, both) as invoker, running(run_edge, both) as edge:
            await invoker.deploy()
            assert (await get(f"{edge.ready.public_url}/@slow/")).text == "begun ended"


async def test_the_link_may_be_encrypted(settings: Configure, folder: Path) -> None:
    authority = Authority(folder)
    certificate, key = authority.sign("127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        link = f"tls://127.0.0.1:{probe.getsockname()[1]}"
    shown = settings(link=link, link_tls_cert=str(certificate), link_tls_key=str(key))
    trusting = settings(link=link, link_tls_ca=str(authority.path))
    async with running(run_invoker, shown) as invoker, running(run_edge, trusting) as edge:
        await invoker.deploy()
        assert (await get(f"{edge.ready.public_url}/@slow/")).text == "begun ended"


async def test_an_encrypted_link_needs_a_certificate_and_an_authority_that_can_be_read(
    settings: Configure, folder: Path
) -> None:
    with pytest.raises(UsageProblem, match="needs a certificate") as caught:
        async with running(run_invoker, settings(link="tls://127.0.0.1:0")):
            raise AssertionError
    assert "--link-tls-cert and --link-tls-key" in caught.value.hint
    nowhere = settings(link="tls://127.0.0.1:0", link_tls_cert=str(folder / "c.pem"), link_tls_key=str(folder / "k"))
    with pytest.raises(StartProblem, match=r"c\.pem: No such file"):
        async with running(run_invoker, nowhere):
            raise AssertionError


async def test_an_edge_must_know_the_port_of_its_invoker(settings: Configure) -> None:
    with pytest.raises(UsageProblem, match="an edge has to know the port"):
        async with running(run_edge, settings(link="tcp://127.0.0.1:0")):
            raise AssertionError


async def test_workers_may_dial_back_over_tcp(settings: Configure) -> None:
    async with running(run_platform, settings(receiver="tcp://127.0.0.1:0")) as platform:
        await platform.deploy()
        assert (await get(f"{platform.ready.public_url}/@slow/")).text == "begun ended"


@pytest.mark.parametrize(
    ("service", "flag"), [(run_platform, "port"), (run_platform, "control_port"), (run_edge, "port")]
)
async def test_a_port_in_use_is_a_start_problem_that_names_it(
    settings: Configure, folder: Path, service: Service, flag: str
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        with pytest.raises(StartProblem, match=port):
            async with running(service, settings(**{flag: port})):
                raise AssertionError


async def test_an_edge_without_its_key_is_a_start_problem(settings: Configure, folder: Path) -> None:
    with pytest.raises(StartProblem, match=r"link\.key"):
        async with running(run_edge, settings()):
            raise AssertionError


async def test_a_second_platform_on_the_same_data_folder_is_refused_and_the_first_serves_on(
    settings: Configure,
) -> None:
    async with running(run_platform, settings()) as first:
        with pytest.raises(StartProblem, match="another"):
            async with running(run_platform, settings()):
                raise AssertionError
        assert (await get(f"{first.ready.public_url}/_dialback/health")).status_code == 200


async def test_metrics_of_both_services_are_on_the_control_port_and_on_one_of_their_own(settings: Configure) -> None:
    async with running(run_platform, settings(metrics="tcp://127.0.0.1:0")) as platform:
        await platform.deploy()
        await get(f"{platform.ready.public_url}/@slow/")
        for url in (f"{platform.ready.control_url}/metrics", platform.ready.metrics_url):
            text = (await get(url)).text
            assert 'dialback_http_requests_total{code="--",method="GET",status="200"} 1.0' in text
            assert 'dialback_invocations_total{code="--",function="slow",mode="callback",verdict="ok"} 1.0' in text
        assert (await get(f"{platform.ready.public_url}/metrics")).status_code == 404, "nothing of it is public"


async def test_services_of_their_own_tell_their_own_metrics(settings: Configure) -> None:
    both = settings(metrics="tcp://127.0.0.1:0")
    async with running(run_invoker, both) as invoker, running(run_edge, both) as edge:
        edges, invokers = (await get(edge.ready.metrics_url)).text, (await get(invoker.ready.metrics_url)).text
        assert "dialback_link_up 1.0" in edges
        assert "dialback_workers" not in edges
        assert "dialback_build_info" in invokers
        assert "dialback_http" not in invokers


async def test_a_simulator_stands_between_the_clients_and_the_edge_and_says_so(settings: Configure) -> None:
    simulated = settings(buffering_proxy="true", latency="1ms")
    async with running(run_platform, simulated) as platform:
        await platform.deploy()
        assert len(platform.ready.simulating) == 2
        answer = await get(f"{platform.ready.public_url}/@slow/")
        assert answer.text == "begun ended"
        assert answer.headers["connection"] == "close"
        platform.signal()
        assert await platform.code() == 0
