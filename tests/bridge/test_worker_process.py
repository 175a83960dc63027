"""`python -m dialback_bridge worker` as a process of its own."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import dialback_bridge.__main__ as command
from dialback_bridge import event_loop
from dialback_bridge.entry import Entry, Kind
from dialback_bridge.launch import Launch
from dialback_bridge.log_capture import LogSink
from dialback_bridge.worker import _serve, run_worker
from dialback_wire.messages import Verdict

from .fakes import BOUND, SECRET, Platform, http_event

APP = """
import asyncio, gc, json, os, sys
print("imported", __name__)

def everything():
    files = [open("/proc/self/" + name).read() for name in ("environ", "cmdline")]
    return "\\n".join([repr(dict(os.environ)), repr(sys.argv), *files])

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/fail":
        raise RuntimeError("failed on purpose")
    print("called", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": (everything() + repr(scope)).encode()})
"""


class WorkerProcess:
    """A worker that a launcher started."""

    def __init__(self, bench: Platform, source: str, **change: Any) -> None:
        code = bench.folder / "code"
        code.mkdir()
        (code / "app.py").write_text(source)
        control_out, self.control = os.pipe()
        self.log, log_in = os.pipe()
        line = {
            "version": 1,
            "secret": SECRET,
            "runtime_socket": bench.runtime_path,
            "entry": None,
            "kind": None,
            "concurrency": 4,
            "allow": [{"scheme": "unix", "host": "", "port": 0, "path": bench.receiver_path}],
            **change,
        }
        os.write(self.control, json.dumps(line).encode() + b"\n")
        bench.local = True
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-m", "dialback_bridge", "worker"],
            cwd=code,
            env={"DIALBACK_CONTROL_FD": str(control_out), "DIALBACK_LOG_FD": str(log_in), "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(control_out, log_in),
            start_new_session=True,
        )
        os.close(control_out)
        os.close(log_in)

    async def exit_status(self) -> int:
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), BOUND)

    def output(self) -> tuple[str, list[dict[str, Any]]]:
        """What came through the pipes: plain output, records."""
        assert self.process.stdout is not None
        plain = self.process.stdout.read().decode()
        with open(self.log, encoding="utf-8", closefd=False) as log:
            return plain, [json.loads(line) for line in log]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        os.close(self.log)
        os.close(self.control)


@asynccontextmanager
async def worker_process(bench: Platform, source: str, **change: Any) -> AsyncIterator[WorkerProcess]:
    process = WorkerProcess(bench, source, **change)
    try:
        yield process
    finally:
        process.close()


async def test_a_worker_serves_streams_and_retires(bench: Platform) -> None:
    async with worker_process(bench, APP) as worker:
        call, failing = bench.invoke(http_event(path="/x")), bench.invoke(http_event(path="/fail"))
        assert (await call.relay.ended()).verdict is Verdict.OK
        assert (await failing.relay.ended()).status == 500
        await call.outcome()
        await failing.outcome()
        bench.runtime.retire()
        assert await worker.exit_status() == 0
        plain, records = worker.output()
    assert plain == "", "nothing is unattributed, and no warning was raised"
    assert {"id": "", "stream": "stdout", "level": "INFO", "line": "imported app"} in records
    assert {"id": call.id, "stream": "stdout", "level": "INFO", "line": "called /x"} in records
    assert {"id": "", "stream": "stdout", "level": "INFO", "line": "shut down"} in records
    assert "RuntimeError: failed on purpose" in [record["line"] for record in records if record["id"] == failing.id]
    visible = call.relay.body.decode() + plain + json.dumps(records) + str(bench.runtime.outcomes)
    assert "db1_" not in visible
    assert SECRET not in visible


async def test_sigterm_lets_invocations_finish(bench: Platform) -> None:
    source = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.body", "body": b"ended"})
"""
    async with worker_process(bench, source) as worker:
        call = bench.invoke(http_event("POST"), body="stream")
        await call.relay.until(lambda: call.relay.body == b"begun ")
        worker.process.terminate()
        await bench.runtime.changes.until(lambda: bench.runtime.polls == 0)
        call.relay.stream.end(Verdict.OK)
        assert (await call.relay.ended()).verdict is Verdict.OK
        assert call.relay.body == b"begun ended"
        assert await worker.exit_status() == 0


async def test_a_worker_dies_with_its_platform_even_when_its_code_blocks(bench: Platform) -> None:
    source = "import time\nasync def handler(event, context):\n    yield 'x'\n    time.sleep(60)\n"
    async with worker_process(bench, source) as worker:
        call = bench.invoke()
        await call.relay.until(lambda: call.relay.parts)
        control, worker.control = worker.control, os.dup(worker.log)
        os.close(control)
        assert await worker.exit_status() == -9


async def test_a_worker_that_cannot_start_says_why(bench: Platform) -> None:
    async with worker_process(bench, "import nothing_of_this_name\n") as worker:
        assert await worker.exit_status() == 1
        _, records = worker.output()
    error = bench.runtime.init_error
    assert error["errorType"] == "Dialback.EntryError"
    assert error["errorMessage"].startswith("app.py:1: ModuleNotFoundError")
    assert any("nothing_of_this_name" in line for line in error["stackTrace"])
    assert records[0]["level"] == "ERROR"


async def test_a_start_up_that_fails_is_an_init_error(bench: Platform) -> None:
    source = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""
    async with worker_process(bench, source) as worker:
        assert await worker.exit_status() == 1
    assert bench.runtime.init_error["errorMessage"] == "no database"


async def test_the_same_command_is_a_bootstrap_on_aws_lambda(tmp_path: Path) -> None:
    from aiohttp import web

    answers: asyncio.Queue[Any] = asyncio.Queue()
    events = [b'{"n": 1}', b'{"n": 2}']

    async def following(request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers
        if not events:
            return web.Response(status=410)
        headers = {"Lambda-Runtime-Aws-Request-Id": f"r{len(events)}", "Lambda-Runtime-Deadline-Ms": "9999999999999"}
        return web.Response(body=events.pop(0), headers=headers)

    async def response(request: web.Request) -> web.Response:
        answers.put_nowait((request.match_info["id"], await request.json()))
        return web.json_response({}, status=202)

    app = web.Application()
    app.router.add_get("/2018-06-01/runtime/invocation/next", following)
    app.router.add_post("/2018-06-01/runtime/invocation/{id}/response", response)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    (tmp_path / "mod.py").write_text("def handler(event, context):\n    print('plain')\n    return event['n'] * 10\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dialback_bridge", "worker"),
        cwd=tmp_path,
        env={"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}", "_HANDLER": "mod.handler"},
        stdout=subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), BOUND)
    assert process.returncode == 0
    assert [answers.get_nowait(), answers.get_nowait()] == [("r2", 10), ("r1", 20)]
    assert out == b"plain\nplain\n"
    await runner.cleanup()


def test_importing_the_bridge_brings_nothing_but_websockets_and_the_standard_library() -> None:
    code = """
import sys
before = set(sys.modules)
import dialback_bridge.worker, dialback_bridge.__main__, dialback_bridge.inspection, dialback_bridge.web_socket
tops = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(tops - sys.stdlib_module_names))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout.strip() == "['dialback_bridge', 'dialback_wire', 'websockets']"


def test_inspecting_brings_neither_asyncio_nor_websockets() -> None:
    code = "import sys, dialback_bridge.inspection\nprint([m for m in ('asyncio', 'websockets') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout.strip() == "[]"


def test_a_command_line_that_cannot_be_used_exits_with_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_LAMBDA_RUNTIME_API", raising=False)
    assert command.main(["worker"]) == 2
    assert "started by a launcher" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        command.main([])
    assert caught.value.code == 2


def launch(runtime_socket: str, **change: Any) -> Launch:
    settings: dict[str, Any] = {
        "secret": SECRET,
        "runtime_socket": runtime_socket,
        "runtime_address": None,
        "entry": None,
        "kind": None,
        "concurrency": None,
        "keep_socket": True,
        "event_loop": "auto",
        "allow": (),
        "dial_timeout": 1.0,
        "cancel_grace": 0.1,
        "control_fd": None,
        "log_fd": None,
        **change,
    }
    return Launch(**settings)


@pytest.fixture
def forget_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for a function that is imported into this very process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "app", raising=False)
    return tmp_path


def test_a_platform_that_never_was_ends_the_worker_with_1(forget_imports: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    (forget_imports / "app.py").write_text("def handler(event, context): pass\n")
    assert run_worker(launch(str(forget_imports / "nowhere")), forget_imports) == 1
    assert "the runtime API is gone" in capsys.readouterr().err
    del sys.modules["app"]


def test_a_function_without_an_entry_ends_the_worker_with_1(
    forget_imports: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    assert run_worker(launch(str(forget_imports / "nowhere")), forget_imports) == 1
    assert "no entry" in capsys.readouterr().err


async def test_the_parts_are_joined_and_taken_apart_again(bench: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialback_bridge.worker.STOP_TIME", 0.05)
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            seen.append("asked to stop")
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    call = bench.invoke()
    settings = launch(bench.runtime_path, allow=bench.allow())
    serving = asyncio.ensure_future(_serve(settings, Entry("x:app", Kind.ASGI, app), LogSink(None)))
    assert await call.verdict() == "ok"
    bench.runtime.retire()
    assert await asyncio.wait_for(serving, BOUND) == 0
    assert seen == ["asked to stop"]


def test_a_loop_that_the_function_does_not_have_ends_the_worker_with_1(
    forget_imports: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    monkeypatch.setattr(event_loop, "_uvloop", lambda: None)
    (forget_imports / "app.py").write_text("def handler(event, context): pass\n")
    assert run_worker(launch(str(forget_imports / "nowhere"), event_loop="uvloop"), forget_imports) == 1
    assert "no usable uvloop" in capsys.readouterr().err
    del sys.modules["app"]


async def test_a_start_up_that_fails_is_reported(bench: Platform) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"})

    settings = launch(bench.runtime_path)
    assert await _serve(settings, Entry("x:app", Kind.ASGI, app), LogSink(None)) == 1
    assert bench.runtime.init_error["errorMessage"] == "the application's start-up failed"
