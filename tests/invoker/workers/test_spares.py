"""Processes that wait for the next start: what they become, when they are not used, what is left of them."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dialback_invoker.deploy.inspect import BridgeInspector
from dialback_invoker.deploy.spare_inspection import begin
from dialback_invoker.errors import EntryError
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers import spares as module
from dialback_invoker.launchers.imports import imports_of
from dialback_invoker.launchers.spares import Spares
from dialback_invoker.launchers.start import start
from dialback_invoker.secrets.book import Surroundings

INSPECT = (sys.executable, "-P", "-m", "dialback_bridge", "inspect", "--dir", ".")
APP = """
import os, sys
def handler(event, context):
    return 1
print(os.getpid(), "colorsys" in sys.modules, os.environ.get("GREETING"), os.getcwd(), file=sys.stderr)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.fixture
def spares(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spares]:
    monkeypatch.setattr(module, "AFTER", 0.0)
    made = Spares(lambda: ("colorsys", "nowhere_to_be_found"))
    yield made
    made.close()
    assert made.ready(0.1)


def inspected(begin: Any, folder: Path, **env: str) -> tuple[subprocess.Popen[bytes], dict[str, Any], list[str]]:
    """The process, what it says the function is, and what the function said."""
    out, err, stdin = os.pipe(), os.pipe(), os.open(os.devnull, os.O_RDONLY)
    environment = {"PATH": os.defpath, **env}
    process = begin(INSPECT, cwd=folder, env=environment, stdin=stdin, stdout=out[1], stderr=err[1])
    for handle in (stdin, out[1], err[1]):
        os.close(handle)
    with os.fdopen(out[0], "rb") as said, os.fdopen(err[0], "rb") as told:
        answer, words = json.loads(said.read()), told.read().decode().split()
    assert process.wait(30) == 0
    return process, answer, words


def test_a_spare_becomes_what_is_asked_for_and_has_imported_in_advance(spares: Spares, folder: Path) -> None:
    first, answer, words = inspected(spares, folder)
    assert answer == {"entry": "app:handler", "kind": "lambda", "blocks": True}
    assert words[1:] == ["False", "None", str(folder)]
    assert spares.ready(20)
    waiting = next(iter(spares._waiting.values()))
    second, answer, words = inspected(spares, folder, GREETING="hi")
    assert answer["entry"] == "app:handler"
    assert words == [str(second.pid), "True", "hi", str(folder)]
    assert second is waiting.process
    assert second.pid != first.pid


def test_one_that_is_still_getting_ready_is_told_early(spares: Spares, folder: Path) -> None:
    inspected(spares, folder)
    while not spares._waiting:
        assert not spares.ready(0)
    process = next(iter(spares._waiting.values())).process
    used, answer, _ = inspected(spares, folder)
    assert used is process
    assert answer["entry"] == "app:handler"


def test_a_module_of_the_function_s_own_comes_before_one_that_was_imported_in_advance(
    spares: Spares, folder: Path
) -> None:
    inspected(spares, folder)
    assert spares.ready(20)
    (folder / "colorsys.py").write_text("OWN = True\n")
    (folder / "app.py").write_text(APP + "import colorsys\ncolorsys.OWN\n")
    _, answer, _ = inspected(spares, folder)
    assert answer["entry"] == "app:handler"


def test_another_kind_of_start_gets_none(spares: Spares, folder: Path) -> None:
    inspected(spares, folder)
    assert spares.ready(20)
    process = next(iter(spares._waiting.values())).process
    used, _, _ = inspected(spares, folder, PYTHONHASHSEED="1")
    assert used is not process
    plain = spares((sys.executable, "-c", ""), cwd=folder, env={}, stdin=subprocess.DEVNULL, stdout=1, stderr=2)
    assert plain.wait(30) == 0


def test_one_that_has_died_is_replaced_and_what_it_imported_is_not_tried_again(spares: Spares, folder: Path) -> None:
    inspected(spares, folder)
    assert spares.ready(20)
    before = next(iter(spares._waiting.values()))
    before.process.kill()
    before.process.wait()
    inspected(spares, folder)
    assert spares.ready(20)
    after = next(iter(spares._waiting.values()))
    assert (before.modules, after.modules) == (("colorsys", "nowhere_to_be_found"), ())


def test_one_that_is_stuck_is_not_waited_for(spares: Spares, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inspected(spares, folder)
    assert spares.ready(20)
    stuck = next(iter(spares._waiting.values()))
    monkeypatch.setattr(module, "_said_ready", lambda _: False)
    monkeypatch.setattr(module, "SLOW", 0.0)
    used, _, _ = inspected(spares, folder)
    assert used is not stuck.process
    assert stuck.process.poll() is not None


def test_of_kinds_that_are_not_used_any_more_none_is_kept(spares: Spares, folder: Path) -> None:
    for number in range(3):
        inspected(spares, folder, PYTHONHASHSEED=str(number))
        assert spares.ready(20)
    assert [kind[1][-1][1] for kind in spares._waiting] == ["1", "2"]


def test_a_module_that_fails_makes_the_spare_unfit(folder: Path) -> None:
    (folder / "worse.py").write_text("raise ValueError\n")
    command = [sys.executable, "-m", "dialback_bridge", "spare", "--fd", "0", "worse"]
    done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder)}, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode != 0


def test_a_spare_ends_with_whoever_made_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AFTER", 0.0)
    spares = Spares()
    inspected(spares, folder)
    assert spares.ready(20)
    spare = next(iter(spares._waiting.values()))
    spare.turn.close()
    assert spare.process.wait(30) == 0
    spares.close()


def test_an_interpreter_that_is_not_there_leaves_no_spare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AFTER", 0.0)
    spares = Spares()
    with pytest.raises(FileNotFoundError):
        spares(("/no/python", "inspect"), cwd=folder, env={}, stdin=0, stdout=1, stderr=2)
    assert spares.ready(20)
    assert spares._waiting == {}
    spares.close()
    spares._later((("x",), ()))
    assert not spares._timers


async def test_an_inspection_by_a_spare_is_one_like_any_other(spares: Spares, folder: Path) -> None:
    async def through(*command: str, **more: Any) -> Any:
        return await begin(spares, *command, **more)

    inspector = BridgeInspector(20.0, begin=through)
    for _ in range(2):
        found = await inspector.inspect(folder, FunctionConfig())
        assert (found.entry, found.kind, found.blocks) == ("app:handler", "lambda", True)
    missing = BridgeInspector(20.0, ("/no/python", "inspect"), begin=through)
    with pytest.raises(Exception, match="cannot be started"):
        await missing.inspect(folder, FunctionConfig())


async def test_an_inspection_that_nobody_wants_any_more_leaves_no_process(folder: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []
    may_start = threading.Event()

    def late(command: Any, **more: Any) -> subprocess.Popen[bytes]:
        assert may_start.wait(30)
        started.append(start((sys.executable, "-c", "import time; time.sleep(60)"), **more))
        return started[0]

    pipe = subprocess.PIPE
    work = begin(late, "inspect", cwd=folder, env={}, stdin=pipe, stdout=1, stderr=2, start_new_session=True)
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    may_start.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started[0].poll() is not None


async def test_an_inspection_by_a_spare_has_the_secrets_even_where_they_fill_the_pipe(
    spares: Spares, folder: Path
) -> None:
    async def through(*command: str, **more: Any) -> Any:
        return await begin(spares, *command, **more)

    inspector = BridgeInspector(20.0, begin=through)
    surroundings = Surroundings(plain={"SIZE": "20000"}, secrets={"KEY": "\x01" * 20_000})
    (folder / "app.py").write_text(
        "import os\nassert len(os.environ['KEY']) == int(os.environ['SIZE'])\ndef handler(event, context): pass\n"
    )
    for _ in range(2):
        found = await inspector.inspect(folder, FunctionConfig(), surroundings=surroundings)
        assert found.entry == "app:handler"
        assert await asyncio.to_thread(spares.ready, 20.0)
    (folder / "app.py").write_text("import os\nraise ValueError(os.environ['KEY'])\n")
    told = Surroundings(secrets={"KEY": "sk-live-7f3a"})
    with pytest.raises(EntryError, match=r"ValueError: \[secret KEY\]"):
        await inspector.inspect(folder, FunctionConfig(), surroundings=told)


def test_imports_are_read_without_running_anything(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import json, os.path\nfrom fastapi.responses import X\nfrom . import own\nimport own.deep\n"
        "import dialback_bridge\nraise SystemExit\ndef f():\n    import late\n"
    )
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "x.py").write_text("import decimal\n")
    (tmp_path / "bad.py").write_text("import (\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "y.py").write_text("import hidden\n")
    (tmp_path / "notes.txt").write_text("import text\n")
    assert imports_of(tmp_path) == ("decimal", "fastapi.responses", "json", "os.path")
    assert imports_of(tmp_path / "nowhere") == ()


def test_a_usual_start_is_in_a_session_of_its_own(folder: Path) -> None:
    process = start(
        (sys.executable, "-c", "import os, sys; sys.exit(os.getsid(0) != os.getpid())"),
        cwd=folder, env={}, stdin=subprocess.DEVNULL, stdout=1, stderr=2,
    )  # fmt: skip
    assert process.wait(30) == 0


def test_one_that_is_at_work_before_it_was_thanked_is_not_replaced(
    spares: Spares, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspected(spares, folder)
    assert spares.ready(20)
    waiting = next(iter(spares._waiting.values()))
    real = socket.send_fds

    def slowly(turn: socket.socket, parts: Any, descriptors: Any) -> int:
        sent = real(turn, parts, descriptors)
        # The spare has read its order, and closes its side.
        assert select.select([turn], [], [], 20)[0]
        while turn.recv(100):
            pass
        return sent

    monkeypatch.setattr(socket, "send_fds", slowly)
    used, answer, _ = inspected(spares, folder)
    assert used is waiting.process
    assert answer["entry"] == "app:handler"
