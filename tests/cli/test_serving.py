from __future__ import annotations

import asyncio
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from command import Run
from fake_platform import FUNCTION, TOKEN, FakePlatform, fault
from rich.console import Console

from dialback.control_models import Function
from dialback.errors import StartProblem
from dialback.ready import Ready, addresses, ready_event, ready_view
from dialback.settings import Settings
from dialback.whereabouts import read_running

Announce = Callable[[Ready], "asyncio.Future[bool]"]


class Services:
    """Stands in for `dialback.platform`: says that the fake platform is ready, and ends when it is told to."""

    def __init__(self, platform: FakePlatform, data_dir: Path) -> None:
        self.platform = platform
        self.data_dir = data_dir
        self.settings: Settings | None = None
        self.failure: Exception | None = None
        self.cancelled = False
        self.code = 0
        self.stays = False
        self.goes_on_until: threading.Event | None = None
        self.ready = Ready(platform.public_url, platform.control_url, TOKEN, "process", "cgroup")

    async def run(self, settings: Settings, ready: Announce) -> int:
        self.settings = settings
        if self.failure:
            raise self.failure
        self.announced = ready(self.ready)
        try:
            if self.stays or self.ready.control_url:
                await self._announced()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return self.code

    async def _announced(self) -> None:
        """Until the banner was printed; for ever when this service is to be cancelled."""
        if self.stays:
            await asyncio.Event().wait()
        [announcing] = (task for task in asyncio.all_tasks() if "_announce" in str(task.get_coro()))
        await asyncio.wait((announcing,))
        self.running = read_running(self.data_dir)
        # Only then may anything else be written to standard output; nobody reads a test's.
        assert await self.announced is False
        if self.goes_on_until is not None:
            await asyncio.to_thread(self.goes_on_until.wait, 10)


@pytest.fixture
def services(platform: FakePlatform, environment: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    made = Services(platform, environment)
    module = types.ModuleType("dialback.platform")
    for kind in ("platform", "edge", "invoker"):
        setattr(module, f"run_{kind}", made.run)
    monkeypatch.setitem(sys.modules, "dialback.platform", module)
    return made


@pytest.fixture
def function(tmp_path: Path) -> Path:
    made = tmp_path / "hello"
    made.mkdir()
    (made / "app.py").write_text("app = 1")
    return made


def test_up_deploys_then_says_where_everything_is(run: Run, services: Services, function: Path) -> None:
    result = run("up", str(function), "--port", "0", "--default", "hello")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [name for name, *_ in services.platform.uploads] == ["hello"]
    assert services.settings is not None
    assert (services.settings.public.port, services.settings.default) == (0, "hello")
    for words in (
        "Dialback is ready",
        services.platform.public_url,
        f"{services.platform.control_url}/#token={TOKEN}",
        f"{services.platform.public_url}/@chat/",
        "http://chat.localhost:",
        "this is no sandbox",
        "enforced by the kernel",
    ):
        assert words in result.stdout


def test_while_it_runs_the_data_folder_says_where(run: Run, services: Services, environment: Path) -> None:
    assert run("up").exit_code == 0
    assert services.running is not None
    assert (services.running.control_url, services.running.pid) == (services.platform.control_url, os.getpid())
    assert not (environment / "platform.json").exists()


def test_the_ready_line_is_one_line_of_json(run: Run, services: Services) -> None:
    [line] = run("up", "--json").stdout.splitlines()
    said = json.loads(line)
    assert said["event"] == "ready"
    assert said["page_url"] == f"{services.platform.control_url}/#token={TOKEN}"
    assert said["functions"][0]["urls"] == list(addresses(services.platform.public_url, "chat"))


@pytest.mark.parametrize("kind", ["edge", "invoker"])
def test_a_service_on_its_own_is_run_with_its_settings(run: Run, services: Services, kind: str) -> None:
    if kind == "edge":
        services.ready = Ready(public_url="http://127.0.0.1:1")
    result = run("serve", kind, "--link", "tcp://127.0.0.1:7000", "--link-key-file", "key")
    assert result.exit_code == 0
    assert services.settings is not None
    assert str(services.settings.link.address) == "tcp://127.0.0.1:7000"
    assert services.settings.link.key_file == Path.cwd() / "key"


def test_an_invoker_deploys_only_what_is_not_there_yet(run: Run, services: Services, function: Path) -> None:
    chat = function.with_name("chat")
    shutil.copytree(function, chat)
    assert run("serve", "invoker", str(function), str(chat)).exit_code == 0
    assert [name for name, *_ in services.platform.uploads] == ["hello"]


def test_an_invoker_goes_on_without_a_function_that_is_refused(run: Run, services: Services, function: Path) -> None:
    services.platform.answer = lambda request: (
        fault(422, "syntax_error", "invalid syntax", file="app.py", line=1) if request.method == "POST" else None
    )
    result = run("serve", "invoker", str(function))
    assert result.exit_code == 0
    assert "error: hello is not deployed: invalid syntax\n  --> app.py:1" in result.stderr
    assert f"{services.platform.public_url}/@chat/" in result.stdout


def test_an_invoker_with_nothing_to_serve_stops(run: Run, services: Services, function: Path) -> None:
    services.stays = True
    services.platform.functions = []
    services.platform.answer = lambda request: (
        fault(503, "engine_unavailable", "the engine may not be used") if request.method == "POST" else None
    )
    result = run("serve", "invoker", str(function))
    assert result.exit_code == 1
    assert "the engine may not be used" in result.stderr


def test_where_people_reach_the_control_port_is_what_is_printed(run: Run, services: Services) -> None:
    services.ready = replace(services.ready, control_public_url="http://127.0.0.1:9001")
    said = run("serve", "invoker", "--control-public-url", "http://127.0.0.1:9001").stdout
    assert f"http://127.0.0.1:9001/#token={TOKEN}" in said
    assert services.platform.control_url not in said
    assert services.settings is not None
    assert services.settings.control_public_url == "http://127.0.0.1:9001"


def test_an_edge_has_no_functions_and_no_page(services: Services) -> None:
    view = shown(Ready(public_url="http://127.0.0.1:1"), [], 100)
    assert "functions" not in view
    assert "page" not in view


def test_the_exit_code_is_the_services_own(run: Run, services: Services) -> None:
    services.code = 1
    assert run("up").exit_code == 1


def test_what_cannot_start_is_one_error(run: Run, services: Services) -> None:
    services.failure = StartProblem("port 8080 is in use", hint="choose another with --port")
    result = run("up")
    assert (result.exit_code, result.stderr) == (1, "error: port 8080 is in use\nhint: choose another with --port\n")
    services.failure = OSError(28, "No space left on device", "/data/dialback.db")
    assert run("up").stderr == "error: /data/dialback.db: No space left on device\n"


def test_a_bug_is_named_as_one_and_its_traceback_is_for_who_asks(
    run: Run, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.failure = ZeroDivisionError("division by zero")
    result = run("up")
    assert result.exit_code == 1
    assert "this is a bug in dialback: ZeroDivisionError" in result.stderr
    monkeypatch.setenv("DIALBACK_DEBUG", "1")
    from typer.testing import CliRunner

    from dialback.main import app

    assert "Traceback" in CliRunner().invoke(app, ["up"]).stderr


def test_a_function_that_cannot_be_deployed_stops_it_again(run: Run, services: Services, function: Path) -> None:
    services.stays = True
    services.platform.answer = lambda request: (
        fault(422, "syntax_error", "invalid syntax", file="app.py", line=1, source="app =")
        if request.method == "POST"
        else None
    )
    result = run("up", str(function))
    assert result.exit_code == 1
    assert "error: invalid syntax\n  --> app.py:1\n     1 | app =" in result.stderr
    assert services.cancelled


def test_what_cannot_be_packed_starts_nothing(run: Run, services: Services, function: Path) -> None:
    assert run("up", "missing").exit_code == 2
    twin = function.parent / "other/hello"
    twin.mkdir(parents=True)
    (twin / "app.py").write_text("")
    result = run("up", str(function), str(twin))
    assert result.exit_code == 2
    assert "are both named hello" in result.stderr
    assert services.settings is None


def test_both_signals_belong_to_the_service(platform: FakePlatform, environment: Path) -> None:
    program = f"""
import asyncio, signal, sys, types
from dialback.ready import Ready
async def run_platform(settings, ready):
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopped.set)
    ready(Ready({platform.public_url!r}, {platform.control_url!r}, {TOKEN!r}, "process", "watch"))
    await stopped.wait()
    return 7
module = types.ModuleType("dialback.platform")
module.run_platform = run_platform
sys.modules["dialback.platform"] = module
from dialback.main import main
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, "up", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "ready"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout, stderr) == (7, b"", b"")
    assert not (environment / "platform.json").exists()


def shown(ready: Ready, names: list[str], width: int) -> str:
    functions = [Function.model_validate(FUNCTION | {"name": name}) for name in names]
    with Path(os.devnull).open("w") as nowhere:
        console = Console(width=width, record=True, file=nowhere)
        console.print(ready_view(ready, functions, "Dialback", width), soft_wrap=True)
    return console.export_text()


READY = Ready("http://127.0.0.1:8080", "http://127.0.0.1:8081", "t" * 43, "process", "watch")


def test_an_edge_says_whether_it_has_its_link(run: Run, services: Services) -> None:
    services.ready = Ready("http://127.0.0.1:8080", link="connecting", link_trouble="Connection refused")
    services.stays = False
    assert json.loads(run("serve", "edge", "--json").stdout)["link"] == "connecting"
    lines = run("serve", "edge").stdout.splitlines()
    assert any("link      connecting to the invoker: Connection refused" in line for line in lines)


def test_the_frame_of_an_edge_has_no_empty_lines_and_cuts_nothing() -> None:
    lines = shown(Ready("http://127.0.0.1:8080", link="ready"), [], 100).splitlines()
    assert [line.strip("│ ") for line in lines[1:-1]] == [
        "",
        "public    http://127.0.0.1:8080",
        "link      connected to the invoker",
        "",
    ]
    assert "Ctrl-C lets streams finish, twice stops at once" in lines[-1]
    assert len({len(line) for line in lines}) == 1


def test_wide_terminals_see_both_addresses_side_by_side() -> None:
    lines = shown(READY, ["hello", "chat"], 120).splitlines()
    assert any("/@hello/ " in line and "http://hello.localhost:8080/" in line for line in lines)
    assert lines[0].startswith("╭─ Dialback is ready ─")
    assert len({len(line) for line in lines}) == 1


def test_narrow_terminals_see_whole_addresses() -> None:
    stacked = shown(READY, ["chat-completions"], 100).splitlines()
    assert not any("/@chat-completions/" in line and "localhost" in line for line in stacked)
    bare = shown(READY, ["chat-completions"], 50)
    assert "╭" not in bare
    assert f"http://127.0.0.1:8081/#token={'t' * 43}" in bare


def test_a_platform_without_functions_says_what_to_do() -> None:
    assert "no functions yet: dialback deploy DIR" in shown(READY, [], 120)


def test_addresses_follow_the_public_one() -> None:
    assert addresses("https://f.example.org", "Chat") == ("https://f.example.org/@Chat/", "https://chat.localhost/")


def test_without_a_public_address_the_functions_own_are_told() -> None:
    ready = Ready(control_url="http://127.0.0.1:8081", control_token="t")
    event = ready_event(ready, [Function.model_validate(FUNCTION)])
    assert event["functions"][0]["urls"] == FUNCTION["urls"]  # type: ignore[index]


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import dialback.main, sys; print([m for m in ('httpx', 'pydantic', 'h11', 'uvloop') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, check=True)
    assert done.stdout == b"[]\n"


def test_the_composition_is_found_by_name(services: Services) -> None:
    serving = importlib.import_module("dialback.serving")
    assert serving.service("edge") == services.run


def test_what_is_for_later_is_deployed_behind_the_banner(run: Run, services: Services, function: Path) -> None:
    result = run("up", "--later", str(function))
    assert result.exit_code == 0
    assert [name for name, *_ in services.platform.uploads] == ["hello"]
    assert "Dialback is ready" in result.stdout
    assert result.stderr == f"deployed hello   {services.platform.public_url}/@hello/\n"


def test_what_fails_later_is_said_and_stops_nothing(
    run: Run, services: Services, function: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dialback import serving

    second = function.with_name("second")
    second.mkdir()
    (second / "app.py").write_text("app = 1")
    services.platform.answer = lambda request: (
        fault(422, "import_failed", "no such module") if "hello" in request.path and request.method == "POST" else None
    )
    services.goes_on_until = threading.Event()
    said = serving.print_note

    def note(message: str) -> None:
        said(message)
        if message.startswith("deployed second"):
            services.goes_on_until.set()

    monkeypatch.setattr(serving, "print_note", note)
    result = run("up", "--later", str(function), "--later", str(second))
    assert (result.exit_code, services.goes_on_until.is_set()) == (0, True)
    first, error, *_ = result.stderr.splitlines()
    assert first == "hello was not deployed, the platform goes on:"
    assert error == "error: no such module"


def test_a_platform_that_stops_meanwhile_is_no_news(run: Run, services: Services, function: Path) -> None:
    services.ready = Ready(services.platform.public_url, services.platform.control_url, TOKEN)
    services.platform.answer = lambda request: request.transport.abort() if request.method == "POST" else None
    assert (run("up", "--later", str(function)).stderr) == ""


def test_later_is_no_way_to_deploy_twins(run: Run, services: Services, function: Path) -> None:
    assert "are both named hello" in run("up", str(function), "--later", str(function)).stderr
