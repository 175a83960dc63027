"""The platform with containers, from a client's side: what a request sees when something happens to its container."""

import json
import os
import signal
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..platform import Platform, Service, eventually

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Place = Callable[..., str]

SCRIPT = """
import os, socket, subprocess

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    message = await receive()
    found = {}
    exec(message["body"].decode(), {**globals(), "found": found})
    import json
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(found).encode()})
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A function that runs what it is sent."""
    folder = tmp_path / "script"
    folder.mkdir()
    (folder / "app.py").write_text(SCRIPT)
    return folder


def test_a_container_killed_in_mid_stream_is_a_truncation(contained: Platform, place: Place, client: Any) -> None:
    name = place()
    with httpx.stream("GET", f"{contained.url}/@{name}/stream?n=3&then=hang", timeout=30) as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(3)] == ["line 0", "line 1", "line 2"]
        (container,) = contained.containers(client, name)
        client.kill(container["Id"])
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
        identity = response.headers["x-dialback-id"]
    trace = contained.trace(identity)
    assert (trace["verdict"], trace["code"]) == ("truncated", "SD")
    assert "killed by SIGKILL" in str(trace["detail"])
    assert "the worker was killed by SIGKILL" in contained.command("logs", name).stdout
    assert contained.get(f"/@{name}/hello").text == "Hello world\n"


def test_a_tunnel_leads_into_a_container_too(contained: Platform, place: Place) -> None:
    name = place(mode="tunnel")
    contained.get(f"/@{name}/hello")  # the first one makes the worker dial
    response = contained.get(f"/@{name}/stream?n=5")
    assert response.text.endswith("line 4\n")
    assert contained.trace(response.headers["x-dialback-id"])["mode"] == "tunnel"


def test_too_much_memory_before_the_head_is_a_502_that_says_so(contained: Platform, place: Place, script: Path) -> None:
    name = place(script, memory_mb=64)
    response = httpx.post(f"{contained.url}/@{name}/", content=b"bytearray(500_000_000)", timeout=30)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "out_of_memory"
    assert "used more than its 64 MB of memory" in str(contained.trace(response.headers["x-dialback-id"])["detail"])
    assert "used more than its 64 MB of memory" in contained.command("logs", name).stdout
    assert httpx.post(f"{contained.url}/@{name}/", content=b"found['well'] = 1", timeout=30).json() == {"well": 1}


FULL = """
with open("/tmp/full", "wb") as file:
    while True:
        file.write(bytes(1 << 20))
"""
FORKS = """
import subprocess
while True:
    subprocess.Popen(["sleep", "60"])
"""


@pytest.mark.parametrize(
    ("code", "error"), [(FULL, "No space left on device"), (FORKS, "BlockingIOError")], ids=["disk", "processes"]
)
def test_a_disk_and_processes_that_are_used_up_are_errors_of_the_function_and_its_worker_lives(
    contained: Platform, place: Place, script: Path, code: str, error: str
) -> None:
    name = place(script, memory_mb=256)

    def is_well() -> bool:
        answer = httpx.post(f"{contained.url}/@{name}/", content=b"found['well'] = 1", timeout=30)
        return answer.status_code == 200 and answer.json() == {"well": 1}

    eventually(is_well, 20.0, "it does not serve")
    (before,) = contained.workers(name)
    response = httpx.post(f"{contained.url}/@{name}/", content=code.encode(), timeout=60)
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "handler_error"
    assert error in contained.command("logs", name).stdout
    assert is_well()
    assert [worker["id"] for worker in contained.workers(name)] == [before["id"]]


def test_a_stream_survives_the_loss_of_its_workers_network(contained: Platform, place: Place, client: Any) -> None:
    name = place(network="outside")
    with httpx.stream("GET", f"{contained.url}/@{name}/stream?n=60&gap=0.05", timeout=30) as response:
        lines = response.iter_lines()
        assert next(lines) == "line 0"
        (container,) = contained.containers(client, name)
        client.disconnect_container_from_network(container["Id"], contained.network(client, name), force=True)
        assert [*lines][-1] == "line 59"
    assert contained.get(f"/@{name}/hello").text == "Hello world\n"


def access_line(invoker: Service, identity: str) -> dict[str, object]:
    """The invoker's line for a request that is over."""
    assert invoker.process.stdout is not None
    for text in invoker.process.stdout:
        line: dict[str, object] = json.loads(text)
        if line.get("id") == identity:
            return line
    raise AssertionError(f"no line for {identity}")


RELAY = """
import asyncio, os, socket

def gateway():
    for line in open("/proc/net/route").read().splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000":
            return socket.inet_ntoa(int(fields[2], 16).to_bytes(4, "little"))

async def handler(event, context):
    reader, writer = await asyncio.open_connection(gateway(), PORT)
    try:
        while True:
            async with asyncio.timeout(float(os.environ["LIMIT"])):
                yield await reader.readline()
    finally:
        writer.close()
"""


@pytest.fixture
def upstream() -> Iterator[int]:
    """The port of a program outside of all containers that tells a line every 20 ms."""

    class Tell(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while not over.wait(0.02):
                    self.request.sendall(b"from outside\n")

    over = threading.Event()
    with socketserver.ThreadingTCPServer(("0.0.0.0", 0), Tell) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        over.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("limit", "idle", "verdict", "logged"),
    [("0.5", 0, "error", "TimeoutError"), ("3600", 0.5, "timeout", "")],
    ids=["by the function", "by the platform"],
)
def test_a_stream_from_outside_whose_network_is_cut_is_truncated_and_told(
    contained: Platform,
    place: Place,
    client: Any,
    tmp_path: Path,
    upstream: int,
    limit: str,
    idle: float,
    verdict: str,
    logged: str,
) -> None:
    """Who notices that nothing comes any more is the function, by a time limit of its own, else the platform by its."""
    source = tmp_path / "relay"
    source.mkdir()
    (source / "app.py").write_text(RELAY.replace("PORT", str(upstream)))
    name = place(source, network="outside", timeouts={"idle": idle}, env={"LIMIT": limit})
    with httpx.stream("GET", f"{contained.url}/@{name}/", timeout=30) as response:
        lines = response.iter_lines()
        assert next(lines) == "from outside"
        (container,) = contained.containers(client, name)
        network = contained.network(client, name)
        client.disconnect_container_from_network(container["Id"], network, force=True)
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in lines:
                pass
        identity = response.headers["x-dialback-id"]
    trace = contained.trace(identity)
    assert trace["verdict"] == verdict, trace
    assert logged in contained.command("logs", name).stdout
    assert access_line(contained.invoker, identity)["code"] == trace["code"]
    if limit != "3600":
        client.connect_container_to_network(container["Id"], network)

    def streams_again() -> bool:
        with httpx.stream("GET", f"{contained.url}/@{name}/", timeout=30) as response:
            return response.status_code == 200 and next(response.iter_lines()) == "from outside"

    eventually(streams_again, 15.0, "nothing comes from outside any more")


def test_from_inside_neither_platform_nor_engine_nor_sibling_is_reached(
    contained: Platform, place: Place, script: Path, client: Any
) -> None:
    platform = contained
    other = place(network="outside")
    eventually(lambda: platform.get(f"/@{other}/hello").status_code == 200, 20.0, "it does not serve")
    (sibling,) = platform.containers(client, other)
    (address,) = (
        net["IPAddress"] for net in client.inspect_container(sibling["Id"])["NetworkSettings"]["Networks"].values()
    )
    control = int(platform.control_url.rpartition(":")[2])
    attempt = f"""
def attempt(name, family, address):
    with socket.socket(family) as dialled:
        dialled.settimeout(2)
        try:
            dialled.connect(address)
            found[name] = "connected"
        except OSError as error:
            found[name] = type(error).__name__
for port in ({control}, {platform.port}):
    for host in ("127.0.0.1", "172.17.0.1", {address!r}.rpartition(".")[0] + ".1"):
        attempt(f"{{host}}:{{port}}", socket.AF_INET, (host, port))
attempt("sibling", socket.AF_INET, ({address!r}, 80))
for path in ("/var/run/docker.sock", "/run/docker.sock", {os.environ.get("DOCKER_HOST", "").removeprefix("unix://")!r}):
    attempt(path, socket.AF_UNIX, path)
found["data"] = os.path.exists({str(platform.data)!r})
"""
    for network in ("none", "outside"):
        name = place(script, network=network)
        answer = httpx.post(f"{platform.url}/@{name}/", content=attempt.encode(), timeout=60)
        found = answer.json()
        assert found.pop("data") is False
        assert "connected" not in found.values(), found


def test_nothing_of_a_function_is_in_what_the_engine_knows(contained: Platform, place: Place, client: Any) -> None:
    name = place(env={"API_KEY": "sesame-4711"})
    assert "sesame-4711" in contained.get(f"/@{name}/head").text
    for container in contained.containers(client, name):
        said = json.dumps(client.inspect_container(container["Id"]))
        assert "sesame-4711" not in said
        assert "db1_" not in said
        assert client.logs(container["Id"]) == b""


def test_a_deployment_is_looked_at_inside_a_container(contained: Platform, place: Place, tmp_path: Path) -> None:
    outside = contained.root / "canary"
    source = tmp_path / "curious"
    source.mkdir()
    (source / "app.py").write_text(
        f"import os\nassert os.getuid() == 10001\nassert not os.path.exists({str(contained.root)!r})\n"
        f"try:\n    open({str(outside)!r}, 'w')\nexcept OSError:\n    pass\n"
        "def handler(event, context):\n    return 'looked at'\n"
    )
    name = place(source)
    assert contained.get(f"/@{name}/").text == "looked at"
    assert not outside.exists()


def test_a_function_that_was_removed_serves_when_it_is_deployed_again(contained: Platform, script: Path) -> None:
    for _ in range(2):
        contained.deploy(script, "again", concurrency=3)
        answer = httpx.post(f"{contained.url}/@again/", content=b"found['well'] = 1", timeout=30)
        assert answer.json() == {"well": 1}
        contained.command("rm", "again")


def test_a_broken_function_is_refused_with_file_and_line(contained: Platform, tmp_path: Path) -> None:
    platform = contained
    source = tmp_path / "broken"
    source.mkdir()
    (source / "app.py").write_text("x = 1\ndef handler(:\n")
    refused = platform.command("deploy", str(source), check=False)
    assert refused.returncode == 1
    assert "app.py:2" in refused.stderr + refused.stdout
    (source / "app.py").write_text("while True: pass\n")
    slow = platform.command("deploy", str(source), check=False)
    assert slow.returncode == 1
    assert "longer than 10 seconds" in slow.stderr + slow.stdout


def test_a_platform_of_containers_runs_nothing_outside_of_them(contained: Platform, script: Path) -> None:
    (script / "dialback.toml").write_text('launcher = "process"\n')
    refused = contained.command("deploy", str(script), check=False)
    assert refused.returncode == 1
    assert "runs functions in containers alone" in refused.stderr + refused.stdout


def test_one_function_of_a_platform_of_processes_may_ask_for_containers(client: Any, script: Path) -> None:
    platform = Platform().start()
    try:
        platform.deploy(script, "contained", launcher="docker")
        platform.deploy(script, "plain")
        ask = b"found['uid'] = os.getuid()"
        assert httpx.post(f"{platform.url}/@contained/", content=ask, timeout=30).json() == {"uid": 10001}
        assert httpx.post(f"{platform.url}/@plain/", content=ask, timeout=30).json() == {"uid": os.getuid()}
        assert len(platform.containers(client)) == 1
        platform.stop()
        assert platform.containers(client) == []
    finally:
        platform.destroy()


def test_a_platform_that_is_killed_takes_its_containers_with_it(start: Callable[..., Platform], client: Any) -> None:
    platform = start()
    platform.deploy_probe()
    platform.get("/@probe/hello")
    assert len(platform.containers(client, status="running")) == 1
    platform.invoker.signal(signal.SIGKILL)
    platform.invoker.wait()
    eventually(lambda: not platform.containers(client, status="running"), 10.0, "a container outlived its platform")
    platform.start_invoker()
    eventually(lambda: not platform.containers(client), 10.0, "the start swept nothing")
    eventually(lambda: platform.get("/@probe/hello").status_code == 200, 15.0, "it does not serve again")


def test_an_engine_that_is_away_is_a_clear_502_and_a_line_in_the_log(tmp_path: Path, client: Any) -> None:
    platform = Platform(launcher="docker")
    platform.environ["DOCKER_HOST"] = f"unix://{tmp_path}/nothing.sock"
    try:
        platform.start()
        refused = platform.command("deploy", str(Path(__file__).parents[3] / "examples/hello"), check=False)
        assert refused.returncode == 1
        assert "cannot be reached: is it running?" in refused.stderr + refused.stdout
        assert "functions in containers cannot start: the Docker Engine at" in platform.invoker.log.read_text()
        assert platform.get("/_dialback/health").status_code == 200
    finally:
        platform.destroy()


def test_a_paused_worker_is_quick_to_answer(contained: Platform, place: Place) -> None:
    name = place(idle="pause", idle_seconds=0.2, warm=1)
    eventually(lambda: [w["state"] for w in contained.workers(name)] == ["paused"], 10.0, "no warm worker is paused")
    began = time.monotonic()
    assert contained.get(f"/@{name}/hello").text == "Hello world\n"
    assert time.monotonic() - began < 2.0
