"""SIGTERM loses no stream within the grace; after any end nothing is left over."""

import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from .platform import COMMAND, Platform, Service, alive, eventually

pytestmark = pytest.mark.system


def processes_of(platform: Platform) -> list[int]:
    """Every process that knows the platform's folder, by its command line, environment or working directory."""
    root = str(platform.root).encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            told = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            told += os.fsencode(os.readlink(folder / "cwd"))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
        if root in told and alive(int(folder.name)):
            found.append(int(folder.name))
    return found


def leftovers(platform: Platform) -> list[str]:
    """Sockets and folders of a platform that should be gone."""
    return [str(path) for path in (platform.root / "run").rglob("*")]


def assert_nothing_left(platform: Platform) -> None:
    eventually(lambda: not processes_of(platform), 5.0, f"processes are left: {processes_of(platform)}")
    eventually(lambda: not leftovers(platform), 5.0, f"files are left: {leftovers(platform)}")


def drains(platform: Platform) -> bool:
    health = httpx.get(platform.control_url + "/_dialback/health")
    return health.status_code == 503 and health.json()["status"] == "draining"


def stream(platform: Platform, tag: str, number: int) -> str:
    return platform.get(f"/@probe/stream?tag={tag}&n=20&gap=0.1").text


def test_sigterm_under_load_loses_no_stream(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe(concurrency=20)
    with ThreadPoolExecutor(20) as pool:
        streams = [pool.submit(stream, platform, tag, number) for number in range(20)]
        eventually(lambda: len(platform.notes(tag)) == 20, 10.0, "not all streams began")
        platform.edge.signal(signal.SIGTERM)
        platform.invoker.signal(signal.SIGTERM)
        texts = [one.result(20) for one in streams]
    assert all(text.endswith("line 19\n") and text.count("\n") == 20 for text in texts)
    assert platform.stop() == (0, 0)
    assert_nothing_left(platform)


def test_during_the_drain_the_control_port_says_503_and_draining(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(stream, platform, tag, 0)
        platform.await_note(tag, "called", 10.0)
        platform.invoker.signal(signal.SIGTERM)
        eventually(lambda: drains(platform), 3.0, "the control port does not say that it drains")
        refused = platform.get("/@probe/hello")
        assert (refused.status_code, refused.json()["error"]["code"]) in [(503, "stopping"), (503, "no_upstream")]
        assert int(refused.headers["retry-after"]) >= 1
        assert running.result(20).endswith("line 19\n")
    assert platform.invoker.wait() == 0


def test_the_second_sigterm_stops_at_once(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    with ThreadPoolExecutor() as pool:
        cut = pool.submit(platform.get, f"/@probe/stream?tag={tag}&n=2&then=hang")
        eventually(lambda: platform.notes(tag), 10.0, "the stream did not begin")
        platform.invoker.signal(signal.SIGTERM)
        # The kernel joins equal signals: the second is sent when the first has been taken.
        eventually(lambda: drains(platform), 3.0, "the control port does not say that it drains")
        platform.invoker.signal(signal.SIGTERM)
        assert platform.invoker.wait(5.0) == 1
        with pytest.raises(httpx.RemoteProtocolError):
            cut.result(10)
    platform.edge.stop()
    assert_nothing_left(platform)


def test_after_a_crash_of_the_invoker_its_workers_end_and_a_start_sweeps(
    make: Callable[..., Platform], tag: str
) -> None:
    platform = make()
    platform.deploy_probe()
    pid = int(platform.get("/@probe/pid").text)
    platform.invoker.kill()
    eventually(lambda: not alive(pid), 5.0, "the worker outlived its invoker")
    platform.start_invoker()
    eventually(lambda: platform.get("/@probe/hello").status_code == 200, 10.0, "the platform did not come back")
    platform.stop()
    assert_nothing_left(platform)


@pytest.mark.slow
def test_a_hundred_killed_workers_leave_nothing(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    platform.get("/@probe/hello")
    invoker = platform.invoker.pid
    files = len(os.listdir(f"/proc/{invoker}/fd"))
    for _ in range(100):
        response = platform.get("/@probe/exits")
        assert response.status_code in (502, 503), response.text
    folder = next((platform.root / "run").glob("dialback-*/workers"))

    def calm() -> bool:
        return len(list(folder.iterdir())) <= 1 and len(platform.workers("probe")) <= 1

    eventually(calm, 5.0, f"left: {list(folder.iterdir())}")
    assert len(os.listdir(f"/proc/{invoker}/fd")) <= files + 5
    platform.stop()
    assert_nothing_left(platform)


def test_one_process_serves_drains_and_leaves_nothing(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.stop()
    up = Service("up", ["up", "--port", "0", "--control-port", "0"], platform.environ, platform.root / "up.log")
    platform.edge = platform.invoker = up
    platform.deploy_probe()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(stream, platform, tag, 0)
        platform.await_note(tag, "called", 10.0)
        up.signal(signal.SIGTERM)
        assert running.result(20).endswith("line 19\n")
    assert up.wait() == 0
    assert_nothing_left(platform)


def test_a_second_platform_on_the_same_data_folder_is_refused(shared: Platform) -> None:
    done = subprocess.run(
        [COMMAND, "up", "--port", "0", "--control-port", "0"],
        env=shared.environ,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "is in use by the process" in done.stderr
    assert "Traceback" not in done.stderr
    assert shared.get("/@probe/hello").text == "Hello world\n"


def test_a_port_in_use_is_a_clear_message(shared: Platform, make: Callable[..., Platform]) -> None:
    platform = make()
    platform.stop()
    for flags in (
        ["--port", str(shared.port), "--control-port", "0"],
        ["--port", "0", "--control-port", _port(shared)],
    ):
        done = subprocess.run(
            [COMMAND, "up", *flags], env=platform.environ, capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 1
        assert "in use" in done.stderr
        assert "Traceback" not in done.stderr
    assert_nothing_left(platform)


def _port(platform: Platform) -> str:
    return platform.control_url.rpartition(":")[2]
