"""Functions with packages of their own: a real websockets 12 from the index, versions, rollback, and what is left."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .platform import Platform, eventually
from .raw import RawClient

pytestmark = pytest.mark.system

APP = """\
import asyncio, os, pathlib, sys
import websockets.version

GO = pathlib.Path(os.environ["EVIDENCE"], "go")

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    found = f"VERSION websockets {websockets.version.version} of {sys.prefix}\\n"
    await send({"type": "http.response.body", "body": found.encode(), "more_body": True})
    while scope["path"].endswith("/wait") and not GO.exists():
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"VERSION ends\\n"})
"""


@pytest.fixture(scope="module")
def cache() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="db-uv-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=["unix", "tcp"])
def platform(request: pytest.FixtureRequest, cache: Path) -> Iterator[Platform]:
    """Workers dial back to a Unix socket, or over TCP, where the carrier is the function's own websockets."""
    made = Platform(invoker=("--receiver", "tcp://127.0.0.1:0") if request.param == "tcp" else ())
    made.environ["UV_CACHE_DIR"] = str(cache)
    try:
        yield made.start()
    finally:
        made.destroy()


@pytest.fixture
def folder(platform: Platform, tag: str) -> Path:
    made = platform.root / tag / "pinned"
    made.mkdir(parents=True)
    (made / "dialback.toml").write_text(f"[env]\nEVIDENCE = {json.dumps(str(platform.evidence / tag))}\n")
    (made / "requirements.txt").write_text("websockets==12.0\n")
    (platform.evidence / tag).mkdir()
    return made


def deploy(platform: Platform, folder: Path, version: str) -> dict[str, object]:
    (folder / "app.py").write_text(APP.replace("VERSION", version))
    answer = json.loads(platform.command("deploy", str(folder), "--name", "pinned", "--json").stdout)
    assert isinstance(answer, dict)
    return answer


def versions(platform: Platform) -> list[dict[str, object]]:
    found = json.loads(platform.command("ls", "--deployments", "--json").stdout)["deployments"]
    assert isinstance(found, list)
    return found


def test_a_function_with_its_own_websockets_is_deployed_rolled_back_and_removed(
    platform: Platform, folder: Path, tag: str
) -> None:
    first = deploy(platform, folder, "one")
    environment = platform.data / "environments" / str(first["environment"]["key"])  # type: ignore[index]
    assert environment.is_dir()
    assert platform.get("/@pinned/").text == f"one websockets 12.0 of {environment}\none ends\n"

    # The same requirements: the same environment.
    assert deploy(platform, folder, "two")["environment"] == first["environment"]

    # A build that fails keeps what runs, and says why.
    (folder / "requirements.txt").write_text("websockets==11.0\n")
    (folder / "app.py").write_text(APP.replace("VERSION", "three"))
    failed = platform.command("deploy", str(folder), "--name", "pinned", check=False)
    assert failed.returncode == 1
    assert "dialback-bridge==" in failed.stderr
    assert "websockets>=12" in failed.stderr
    assert "--> requirements.txt" in failed.stderr
    assert platform.get("/@pinned/").text.startswith("two ")

    # A rollback serves at once; a stream that is open ends on the code that it began with.
    with RawClient(platform.port) as client:
        client.get("/@pinned/wait")
        client.until(b"two websockets 12.0")
        platform.command("rollback", "pinned")
        assert platform.get("/@pinned/").text.startswith("one ")
        assert [(each["active"], each["running"]) for each in versions(platform)] == [(False, True), (True, True)]

        # What is removed goes when its last stream is over, and not before.
        platform.command("rm", "pinned")
        assert environment.is_dir()
        (platform.evidence / tag / "go").touch()
        client.until(b"two ends")

    def nothing_left() -> bool:
        return not environment.exists() and not list((platform.data / "bundles").iterdir())

    eventually(nothing_left, 30.0, "bundles or environments of a removed function are still there")


def test_progress_is_plain_in_a_pipe_and_a_restart_serves_from_the_same_environment(
    platform: Platform, folder: Path
) -> None:
    (folder / "app.py").write_text(APP.replace("VERSION", "one").replace("/wait", "/never"))
    done = platform.command("deploy", str(folder), "--name", "pinned")
    assert "Python 3." in done.stdout
    assert all(line.startswith("pinned: ") for line in done.stderr.splitlines())
    before = platform.get("/@pinned/").text
    public = platform.port
    platform.stop()
    platform.start_invoker()
    platform.start_edge(public)
    assert platform.get("/@pinned/").text == before
    platform.command("rm", "pinned")


def test_a_deployment_that_fails_leaves_nothing_of_its_upload(platform: Platform, folder: Path) -> None:
    (folder / "app.py").write_text(APP.replace("VERSION", "none"))
    for number in range(4):
        (folder / "requirements.txt").write_text(f"no-such-package-of-dialback=={number}\n")
        assert platform.command("deploy", str(folder), "--name", "left", check=False).returncode
    eventually(lambda: not list((platform.data / "bundles").glob(".staging*")), 30.0, "uploads are left")
