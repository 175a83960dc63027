"""Importing a function in advance: what forbids it, and whose paths a fork has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest

from dialback_bridge import forking, handover, preload, remembered, zygote
from dialback_bridge.log_capture import LogSink, inherit, install
from dialback_bridge.preload import Unfit

NEW = "w_ba9876543210"


def old() -> str:
    """Made anew each time: what is found of it is replaced, and so would be a variable of this module."""
    return "_".join(("w", "0123456789ab"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A zygote's folder for code; what is imported from it is forgotten afterwards."""
    made = tmp_path / old() / "code"
    made.mkdir(parents=True)
    (tmp_path / old() / "tmp").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield made
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test runner has threads."""
    monkeypatch.setattr(preload, "_look_for_company", lambda: None)


def load(folder: Path, source: str, *, insists: bool = False) -> None:
    (folder / "zygotic.py").write_text(f"{source}\ndef handler(event, context): pass\n")
    preload.preload(folder, "zygotic:handler", None, insists=insists)


@pytest.mark.usefixtures("alone")
def test_a_plain_function_may_be_imported_in_advance(folder: Path) -> None:
    load(folder, "import json\nNOTHING = open('/dev/null')")
    sys.modules["zygotic"].NOTHING.close()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import socket\nkept = socket.socket()", "leaves a socket open"),
        ("kept = open(__file__)", "leaves /"),
        ("import os\nopen(os.path.dirname(__file__) + '/new', 'w').close()", "writes new"),
        ("import os\nopen(os.path.dirname(__file__) + '/../tmp/new', 'w').close()", "writes ../tmp/new"),
        ("import nothing_of_that_name", "failed: zygotic.py:1: ModuleNotFoundError"),
    ],
)
def test_what_forbids_it_is_named(folder: Path, source: str, why: str) -> None:
    with pytest.raises(Unfit) as unfit:
        load(folder, source)
    assert str(unfit.value).startswith(why)
    if "zygotic" in sys.modules and hasattr(sys.modules["zygotic"], "kept"):
        sys.modules["zygotic"].kept.close()


@pytest.mark.usefixtures("alone")
def test_who_insists_may_leave_something_open(folder: Path) -> None:
    load(folder, "import socket\nkept = socket.socket()", insists=True)
    sys.modules["zygotic"].kept.close()


def test_a_thread_forbids_it_always(folder: Path) -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="a-thread")
    thread.start()
    try:
        with pytest.raises(Unfit, match="starts a thread"):
            load(folder, "", insists=True)
    finally:
        release.set()
        thread.join()


def test_a_process_forbids_it_always(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": ["1"] if path == "/proc/self/task" else listing(path))
    child = subprocess.Popen(["sleep", "60"])
    try:
        with pytest.raises(Unfit, match="starts a process"):
            load(folder, "", insists=True)
    finally:
        child.kill()
        child.wait()


SOURCE = """
import pathlib
TEXT = __file__
PATH = pathlib.Path(__file__).parent
NESTED = {"a": ["x", PATH / "b"], "plain": 1}
PARTS = ("x", ("y", __file__))
class Klass:
    path = __file__
class Slim:
    __slots__ = ("own",)
one = Klass()
one.own = __file__
def closing(path):
    def tell():
        return path
    return tell
tell = closing(__file__)
"""


@pytest.mark.usefixtures("alone")
def test_every_place_that_has_the_folder_gets_the_fork_s_own(folder: Path) -> None:
    load(folder, SOURCE)
    places = remembered.find(old())
    ours = [problem for problem in places.problems if problem not in ("a frame", "bytes")]
    assert len(places) > 0, ours
    places.rename(old(), NEW)
    module: Any = sys.modules["zygotic"]
    file = str(folder / "zygotic.py").replace(old(), NEW)
    path = PurePath(file).parent
    found = [module.__file__, module.TEXT, module.Klass.path, module.one.own, module.tell()]
    assert found == [file] * 5
    assert path == module.PATH
    assert isinstance(module.PATH, Path)
    assert {"a": ["x", path / "b"], "plain": 1} == module.NESTED
    assert ("x", ("y", file)) == module.PARTS
    assert module.__spec__.origin == module.__loader__.path == file


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("kept = {__file__}", "a set"),
        ("kept = {__file__: 1}", "the keys of a dict"),
        ("kept = ['x', __file__.encode()]", "bytes"),
        ("class Slim:\n    __slots__ = ('own',)\nkept = Slim()\nkept.own = __file__", "a Slim"),
        ("def kept(path=__file__): pass", "a function"),
    ],
)
def test_a_place_that_cannot_be_changed_is_a_problem(folder: Path, source: str, problem: str) -> None:
    load(folder, source)
    assert problem in remembered.find(old()).problems


def test_a_fork_says_its_number_and_is_in_a_session_of_its_own() -> None:
    read, write = os.pipe()
    pid = forking.fork()
    if pid == 0:
        os.write(write, b"%d" % os.getsid(0))
        os._exit(7)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        assert int(said.read()) == pid
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_a_detached_fork_is_nobody_s_child_and_tells_of_its_birth() -> None:
    births, tell = os.pipe()
    held, release = os.pipe()
    pid = forking.fork(detached=True, births=tell)
    if pid == 0:
        os.close(release)
        os.read(held, 1)
        os._exit(0)
    try:
        assert int(os.read(births, forking.PID_BYTES)) == pid
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    finally:
        for handle in (births, tell, held, release):
            os.close(handle)


def test_a_process_s_entry_gets_the_folder_that_it_has_now() -> None:
    code = (
        "from dialback_bridge import forking\n"
        f"forking.rename({old()!r}, {NEW!r})\n"
        "print(open('/proc/self/environ').read().split(chr(0))[0])\n"
        "forking.rename('short', 'longer')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"Fold()ER": f"/run/{old()}/code"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"Fold()ER=/run/{NEW}/code"


def test_numpy_s_generator_is_seeded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = []

    class Module:
        @staticmethod
        def seed() -> None:
            seeded.append(1)

    monkeypatch.setitem(sys.modules, "numpy.random", Module)  # type: ignore[arg-type]
    forking.reseed()
    assert seeded == [1]


def test_a_fork_that_waited_is_told_on_its_own_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        socket.send_fds(ours, [b'{"name": "w_1"}\n'], [0])
        told, descriptors = zygote.await_order({"later": True}, [theirs.detach()])
    assert told == {"name": "w_1"}
    os.close(descriptors[0])
    assert zygote.await_order({"name": "w_2"}, [3]) == ({"name": "w_2"}, [3])


def test_nobody_asks_any_more() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        assert handover.receive(theirs) is None


def test_what_was_captured_before_the_fork_goes_to_the_worker_s_log() -> None:
    read, write = os.pipe()
    sink = LogSink(-1)
    inherit(sink)
    assert install(write) is sink
    sink.emit("", "log", "INFO", ["here"])
    os.close(write)
    with os.fdopen(read, "rb") as logged:
        assert b"here" in logged.read()


@pytest.mark.usefixtures("alone")
def test_a_lazy_object_stays_as_lazy_as_it_is(folder: Path) -> None:
    lazy = "class Lazy:\n    @property\n    def __class__(self): raise RuntimeError('not configured')\n"
    load(folder, f"{lazy}one = Lazy()\nkept = {{__file__}}")
    assert "a set" in remembered.find(old()).problems
