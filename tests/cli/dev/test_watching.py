"""Which changes count as a save."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dialback.dev.watching import Watch

Next = Callable[[], Awaitable[tuple[str, ...]]]


@asynccontextmanager
async def watched(source: Path) -> AsyncIterator[Next]:
    """Gives the next burst; the watch stands when this is entered."""
    stop = asyncio.Event()
    bursts: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()

    async def look() -> None:
        async for files in Watch(source).saves(stop):
            bursts.put_nowait(files)

    task = asyncio.create_task(look())
    await asyncio.sleep(0)

    async def following() -> tuple[str, ...]:
        return await asyncio.wait_for(bursts.get(), 30)

    yield following
    stop.set()
    await asyncio.wait_for(task, 30)


async def all_of(following: Next, wanted: set[str]) -> set[str]:
    """Bursts together until all that is wanted was named."""
    seen: set[str] = set()
    while not wanted <= seen:
        seen |= set(await following())
    return seen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "watched"
    (folder / "sub").mkdir(parents=True)
    (folder / "app.py").write_text("1")
    return folder


async def test_saves_in_place_by_rename_and_removals_are_seen(folder: Path) -> None:
    async with watched(folder) as following:
        (folder / "app.py").write_text("2")
        await all_of(following, {"app.py"})
        (folder / ".app.py.swp").write_text("3")
        os.replace(folder / ".app.py.swp", folder / "app.py")
        await all_of(following, {"app.py"})
        (folder / "sub" / "new.txt").write_text("4")
        await all_of(following, {"sub/new.txt"})
        (folder / "app.py").unlink()
        await all_of(following, {"app.py"})


async def test_a_checkout_of_many_files_is_few_bursts(folder: Path) -> None:
    async with watched(folder) as following:
        names = {f"sub/file{number}.py" for number in range(300)}
        for name in names:
            (folder / name).write_text("x")
        bursts, seen = 0, set[str]()
        while not names <= seen:
            seen |= set(await following())
            bursts += 1
        assert bursts < 30


async def test_what_a_bundle_leaves_out_is_not_looked_at_and_new_rules_count_at_once(folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    (folder / ".dialbackignore").write_text("*.log\ndata/\n")
    (folder / "data").mkdir()
    async with watched(folder) as following:
        (folder / "__pycache__" / "x.pyc").write_text("x")
        (folder / "x.log").write_text("x")
        (folder / "data" / "big.bin").write_text("x")
        (folder / "app.py").write_text("2")
        assert await all_of(following, {"app.py"}) == {"app.py"}
        (folder / ".dialbackignore").write_text("*.tmp\n")
        await all_of(following, {".dialbackignore"})
        (folder / "y.tmp").write_text("x")
        (folder / "x.log").write_text("y")
        assert "y.tmp" not in await all_of(following, {"x.log"})
        (folder / ".dialbackignore").write_bytes(b"\xff")
        await all_of(following, {".dialbackignore"})
        (folder / "dialback.toml").write_text("")
        await all_of(following, {"dialback.toml"})


async def test_of_a_single_file_nothing_else_is_looked_at_and_a_link_is_followed(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "real.py").write_text("1")
    (folder / "link.py").symlink_to(elsewhere / "real.py")
    async with watched(folder / "link.py") as following:
        (folder / "app.py").write_text("2")
        (elsewhere / "real.py").write_text("2")
        assert set(await following()) == {"real.py"}


async def test_a_folder_that_is_reached_through_a_link_is_watched(folder: Path) -> None:
    (folder.parent / "alias").symlink_to(folder)
    async with watched(folder.parent / "alias") as following:
        (folder / "app.py").write_text("2")
        assert set(await following()) == {"app.py"}


async def test_a_folder_that_goes_and_comes_back_is_watched_again(folder: Path) -> None:
    async with watched(folder) as following:
        folder.rename(folder.with_name("away"))
        await all_of(following, {"."})
        folder.mkdir()
        (folder / "app.py").write_text("2")
        await all_of(following, {"."})
        (folder / "app.py").write_text("3")
        await all_of(following, {"app.py"})
