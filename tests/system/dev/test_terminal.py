"""`dialback dev` in a terminal: what a person sees, breakpoints, an editor that attaches, Ctrl-C."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from .session import PATIENCE, Session

pytestmark = pytest.mark.system

ANSWER = """
async def handler(event, context):
    print("asked for", event["rawPath"])
    answer = 40 + 2
    STOP
    return {"statusCode": 200, "body": f"VERSION {answer}"}
"""

Begin = Callable[..., Session]


@pytest.fixture
def begin() -> Iterator[Begin]:
    begun: list[Session] = []

    def start(code: str = ANSWER, *flags: str, stop: str = "pass", **more: Any) -> Session:
        begun.append(Session({"app.py": code.replace("STOP", stop).replace("VERSION", "one")}, *flags, **more))
        return begun[-1]

    yield start
    for session in begun:
        session.close()


class Asking:
    """A request that is on its way."""

    def __init__(self, url: str) -> None:
        self.answer = ""
        self._thread = threading.Thread(target=self._ask, args=(url,), daemon=True)
        self._thread.start()

    def _ask(self, url: str) -> None:
        with suppress(httpx.HTTPError):  # it may be cut
            self.answer = httpx.get(url, timeout=PATIENCE).text

    def wait(self) -> str:
        self._thread.join(PATIENCE)
        return self.answer


def processes(run: Path) -> list[str]:
    """Command lines of processes that were started for this run folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and os.fsencode(run) in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_a_person_sees_addresses_requests_saves_and_what_is_broken(begin: Begin) -> None:
    session = begin()
    assert httpx.get(session.url + "/hello").text == "one 42"
    line = session.until("asked for /hello").splitlines()[-2:]
    assert "200 GET /hello" in "".join(line)
    assert "first byte" in "".join(line)
    session.write({"app.py": ANSWER.replace("STOP", "pass").replace("VERSION", "two")})
    assert "✓ app.py saved, running after" in session.until(" ms\n", keep=True)
    assert httpx.get(session.url).text == "two 42"
    session.write({"app.py": "import os\nx = (1 +* 2)\n"})
    session.until("✗ SyntaxError")
    shown = session.until("the version before it goes on")
    assert "app.py:2" in shown
    assert "> 2 | x = (1 +* 2)" in shown
    assert "^" in shown
    assert httpx.get(session.url).text == "two 42"
    code, _ = session.interrupt()
    assert code == 0


def test_no_colour_is_shown_where_none_is_wanted(begin: Begin) -> None:
    session = begin(NO_COLOR="1")
    httpx.get(session.url + "/plain")
    session.until("asked for /plain")
    assert b"\x1b[3" not in session.raw
    coloured = begin()
    assert b"\x1b[3" in coloured.raw


def test_a_breakpoint_stops_in_the_terminal_and_the_log_waits_for_it(begin: Begin) -> None:
    session = begin(stop="breakpoint()")
    first, second = Asking(session.url + "/first"), Asking(session.url + "/second")
    shown = session.until("(Pdb)")
    assert f"> {session.folder}/app.py(6)handler()" in shown
    session.type("p answer")
    talked = session.until("42") + session.until("(Pdb)")
    session.type("!answer = 1")
    talked += session.until("(Pdb)")
    assert "asked for" not in talked, "what was printed before the stop waits"
    session.type("c")
    assert "■ breakpoint" in session.until("(Pdb)"), "the other one has waited"
    session.type("c")
    assert sorted([first.wait(), second.wait()]) == ["one 1", "one 42"]


def test_ctrl_c_ends_a_session_at_a_breakpoint_and_leaves_nothing(begin: Begin) -> None:
    session = begin(stop="breakpoint()")
    Asking(session.url)
    session.until("(Pdb)")
    code, seconds = session.interrupt()
    assert code == 0
    assert seconds < 5, "a second on a machine that has nothing else to do"
    assert list(session.run.iterdir()) == []
    assert processes(session.run) == []


def test_a_breakpoint_at_the_top_of_a_module_stops_once_and_has_all_the_time(begin: Begin) -> None:
    session = begin()
    session.write({"app.py": "breakpoint()\n" + ANSWER.replace("STOP", "pass").replace("VERSION", "two")})
    session.until("(Pdb)")
    assert httpx.get(session.url).text == "one 42", "the version before serves meanwhile"
    session.type("c")
    session.until("saved, running after")
    assert httpx.get(session.url).text == "two 42"


class Editor:
    """Speaks the Debug Adapter Protocol as an editor does, as far as a breakpoint needs it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._file = self._socket.makefile("rb")
        self._number = 0

    def ask(self, command: str, **arguments: Any) -> None:
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def until(self, key: str, word: str) -> dict[str, Any]:
        while True:
            length = 0
            while line := self._file.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            assert length, f"the adapter went before {word}"
            message: dict[str, Any] = json.loads(self._file.read(length))
            if message.get(key) == word:
                assert message.get("success", True), message
                return message

    def attach(self, file: Path, line: int) -> None:
        self.ask("initialize", adapterID="test", pathFormat="path", linesStartAt1=True)
        self.until("command", "initialize")
        self.ask("attach", justMyCode=True)
        self.until("event", "initialized")
        self.ask("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}])
        assert self.until("command", "setBreakpoints")["body"]["breakpoints"][0]["verified"]
        self.ask("configurationDone")
        self.until("command", "configurationDone")

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_an_editor_attaches_stops_in_its_own_files_and_follows_a_save(begin: Begin) -> None:
    port = free_port()
    session = begin(ANSWER, "--debug-port", str(port))
    for version in ("one", "two"):
        with closing(Editor(port)) as editor:
            editor.attach(session.folder / "app.py", 4)
            asking = Asking(session.url)
            thread = editor.until("event", "stopped")["body"]["threadId"]
            editor.ask("stackTrace", threadId=thread)
            frame = editor.until("command", "stackTrace")["body"]["stackFrames"][0]
            assert (frame["line"], frame["source"]["path"]) == (4, str(session.folder / "app.py"))
            editor.ask("continue", threadId=thread)
            assert asking.wait() == f"{version} 42"
        if version == "one":
            session.write({"app.py": ANSWER.replace("STOP", "pass").replace("VERSION", "two")})
            session.until("saved, running after")
    code, _ = session.interrupt()
    assert code == 0
    until = time.monotonic() + PATIENCE
    while processes(session.run) and time.monotonic() < until:
        time.sleep(0.05)
    assert processes(session.run) == []
