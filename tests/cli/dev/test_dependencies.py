"""Saves that change what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.invoker.environments.conftest import websockets_wheel, wheel

APP = """
import greeting

def handler(event, context):
    return greeting.TEXT + " VERSION"
"""


@pytest.fixture(autouse=True)
def index(tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is a folder: nothing is fetched."""
    folder = tmp_path / "index"
    wheel(folder, "greeting", "1.0", {"greeting.py": "TEXT = 'hello'\n"})
    websockets_wheel(folder, "17.0")
    settings = tmp_path / "home/.config/uv/uv.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'no-index = true\nfind-links = ["{folder}"]\n')
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))


async def test_they_are_installed_in_sight_and_a_failure_leaves_the_version_before(dev: Any) -> None:
    session = await dev({"app.py": "def handler(event, context):\n    return 'bare'\n"})
    await session.save({"requirements.txt": "greeting==1.0\n"})
    await session.save({"app.py": APP.replace("VERSION", "one")})
    assert (await session.http.get("/")).text == "hello one"
    assert "installing requirements.txt" in (await session.until("installing"))["line"]
    seen = len(session.events)
    await session.save({"app.py": APP.replace("VERSION", "two")})
    assert (await session.http.get("/")).text == "hello two"
    assert "installing" not in [event["event"] for event in session.events[seen:]]
    event = await session.save({"requirements.txt": "greeting==9\n"}, "broken")
    problem = event["problem"]
    assert (problem["code"], problem["file"], problem["line"]) == ("build_failed", "requirements.txt", 1)
    assert (await session.http.get("/")).text == "hello two"
