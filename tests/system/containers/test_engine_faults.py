"""An engine of the tests' own goes away, or has no room left, under a whole platform: what clients see, what the log
says, and that the platform serves again without a restart.
"""

import json
import os
import signal
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.own_engine import OwnEngine, engine_of_ones_own

from ..platform import Platform, eventually
from .test_many_deaths import leftovers

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    # As in tests/invoker/containers/test_docker_faults.py.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(scope="module")
def engine(client: Any) -> Iterator[OwnEngine]:
    with engine_of_ones_own(client) as own:
        yield own


@pytest.fixture
def platform(engine: OwnEngine) -> Iterator[Platform]:
    """A platform outside of the engine, with a probe that serves; it leaves nothing when it stops."""
    made = Platform(launcher="docker")
    made.environ["DOCKER_HOST"] = engine.host
    try:
        made.start()
        made.deploy_probe(max_workers=2, concurrency=5)
        eventually(lambda: serves(made), 15.0, "it does not serve")
        yield made
        made.stop()
        seen = engine.client()
        try:
            assert made.containers(seen) == []
            assert seen.networks(filters={"label": f"dialback.platform={made.mark}"}) == []
        finally:
            seen.close()
    finally:
        made.destroy()


def serves(platform: Platform) -> bool:
    return platform.get("/@probe/hello").status_code == 200


def wheel(folder: Path) -> str:
    """A package that is installed without asking anybody; the name of its file."""
    info = "offline-1.0.dist-info"
    files = {
        "offline.py": "here = True\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: offline\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    name = "offline-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_restarted_under_load_cuts_its_streams_and_serves_again(
    platform: Platform, engine: OwnEngine, number: int
) -> None:
    began = threading.Barrier(9, timeout=30)

    def stream(_: int) -> tuple[str, str]:
        """How a stream ends for its client, and its id."""
        with httpx.stream("GET", f"{platform.url}/@probe/stream?n=100000", timeout=60) as response:
            lines = response.iter_lines()
            next(lines)
            began.wait()
            try:
                for _ in lines:
                    pass
            except httpx.RemoteProtocolError:
                return "cut", response.headers["x-dialback-id"]
            return "clean", ""

    with ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(stream, each) for each in range(8)]
        began.wait()
        engine.stop(number)
        engine.start()
        ends = [each.result(60) for each in streams]
    assert {end for end, _ in ends} == {"cut"}
    trace = platform.trace(ends[0][1])
    assert trace["verdict"] == "truncated"
    assert trace["detail"]
    assert "the worker" in platform.command("logs", "probe").stdout
    eventually(lambda: serves(platform), 20.0, "it does not serve again")
    seen = engine.client()
    try:
        eventually(
            lambda: len(platform.containers(seen)) == len(platform.workers()), 20.0, "a dead container was not removed"
        )
    finally:
        seen.close()


def test_an_engine_without_room_is_a_502_a_line_in_the_log_and_no_deployment(
    platform: Platform, engine: OwnEngine, tmp_path: Path
) -> None:
    source = tmp_path / "needy"
    source.mkdir()
    (source / "requirements.txt").write_text(f"./{wheel(source)}\n")
    (source / "app.py").write_text("import offline\n\ndef handler(event, context):\n    return 'installed'\n")
    seen = engine.client()
    try:
        before = leftovers(platform, seen)
        os.kill(platform.worker_pid(), signal.SIGKILL)
        # What it leaves is room.
        eventually(lambda: not platform.containers(seen), 10.0, "the dead container stays")
        engine.fill()
        try:
            refused = platform.get("/@probe/hello")
            assert refused.status_code == 502
            assert refused.json()["error"]["code"] == "engine_failed"
            said = [
                json.loads(line)["line"] for line in platform.command("logs", "probe", "--json").stdout.splitlines()
            ]
            assert any("no space left on device" in line for line in said), said
            broken = platform.command("deploy", str(source), check=False)
            assert broken.returncode == 1
            assert "no space left on device" in broken.stderr + broken.stdout
        finally:
            engine.empty()
        eventually(lambda: serves(platform), 20.0, "it does not serve again")
        platform.command("deploy", str(source))
        assert platform.get("/@needy/").text == "installed"
        platform.command("rm", "needy")
        eventually(lambda: leftovers(platform, seen)["containers"] == 1, 15.0, "a container stays")
        # The `docker` package keeps a connection to each of the last 25 addresses that it asked.
        before["descriptors"] += 25
        eventually(
            lambda: all(count <= before[name] + 3 for name, count in leftovers(platform, seen).items()),
            10.0,
            f"{before} became {leftovers(platform, seen)}",
        )
        # The collector works after the command has its answer.
        eventually(lambda: seen.images(filters={"label": "dialback.stage"}) == [], 10.0, "what was built in stays")
    finally:
        seen.close()
