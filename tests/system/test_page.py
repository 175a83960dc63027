"""The page against a real platform: the browser's own tests, pointed at one."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .platform import Platform

pytestmark = [pytest.mark.system, pytest.mark.browser]

ROOT = Path(__file__).resolve().parents[2]
FILES = [ROOT / "tests/browser/test_race.py", ROOT / "tests/browser/test_replay.py"]
STREAMS = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for number in range(12):
        await send({"type": "http.response.body", "body": b"word%d " % number, "more_body": True})
        await asyncio.sleep(0.06)
    await send({"type": "http.response.body", "body": b"done"})
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "app.py").write_text(STREAMS)
    platform = Platform()
    try:
        platform.start()
        platform.command("deploy", str(folder))
        (folder / "app.py").write_text(STREAMS.replace("word%d", "WORD%d and more"))
        platform.command("deploy", str(folder))
        assert platform.get("/@words/").text.endswith("done")
        yield platform
    finally:
        platform.destroy()


@pytest.mark.timeout(300)
def test_race_and_replay_are_what_people_see_on_a_real_platform(platform: Platform) -> None:
    environ = {
        **os.environ,
        "DIALBACK_PAGE_URL": f"{platform.control_url}/#token={platform.token}",
        "DIALBACK_PAGE_FUNCTION": "words",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, FILES)],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    if "Chromium is missing" in done.stdout:
        pytest.skip("Chromium is missing: the page is NOT tested on a platform")
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 8
