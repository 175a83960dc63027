"""`dialback dev` as a whole, in this process with real workers: saves, errors, reload, log."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from dialback.dev.options import DevOptions, dev_settings
from dialback.dev.session import DevSession
from dialback.settings import resolve
from dialback_invoker import service
from dialback_invoker.launchers.spares import Spares

BROWSER = {"accept": "text/html,application/xhtml+xml"}

HELLO = """
async def handler(event, context):
    print("asked for", event["rawPath"])
    if event["rawPath"] == "/fail":
        return {}["missing"]
    return {"statusCode": 200, "headers": {"content-type": "text/html"}, "body": "<head></head>VERSION"}
"""
STREAM = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(int(scope["query_string"] or b"1")):
        await send({"type": "http.response.body", "body": b"VERSION %d\\n" % number, "more_body": True})
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"end VERSION"})
"""


def version(text: str, name: str) -> str:
    return text.replace("VERSION", name)


async def test_a_save_runs_at_once_and_the_function_is_at_the_root_and_under_its_name(dev: Any) -> None:
    session = await dev({"app.py": version(HELLO, "one")})
    assert (await session.http.get("/")).text == "<head></head>one"
    assert (await session.http.get("/@fn/x")).text == "<head></head>one"
    event = await session.save({"app.py": version(HELLO, "two")})
    assert event["files"] == ["app.py"] or "app.py" in event["files"]
    assert event["ms"] > 0
    assert (await session.http.get("/")).text == "<head></head>two"


async def test_a_single_file_is_served_and_watched_too(dev: Any) -> None:
    session = await dev({"app.py": version(HELLO, "one"), "other.py": "x = 1"}, file="app.py")
    assert "one" in (await session.http.get("/")).text
    await session.save({"app.py": version(HELLO, "two")})
    assert "two" in (await session.http.get("/")).text


async def test_an_open_stream_finishes_on_the_old_code(dev: Any) -> None:
    session = await dev({"app.py": version(STREAM, "old")})
    async with session.http.stream("GET", "/?40") as response:
        pieces = response.aiter_text()
        assert (await anext(pieces)).startswith("old 0")
        await session.save({"app.py": version(STREAM, "new")})
        assert (await session.http.get("/")).text == "new 0\nend new"
        rest = "".join([piece async for piece in pieces])
    assert rest.endswith("old 39\nend old")
    assert "new" not in rest


async def test_a_broken_save_is_shown_with_its_place_and_the_last_good_version_goes_on(dev: Any) -> None:
    session = await dev({"app.py": version(HELLO, "good")})
    event = await session.save({"app.py": "import os\ndef handler(event, context)\n    return 1\n"}, "broken")
    problem = event["problem"]
    assert problem["message"].startswith("SyntaxError")
    assert (problem["file"], problem["line"]) == ("app.py", 2)
    assert problem["source"] == "def handler(event, context)"
    assert problem["places"][0]["column"] == len("def handler(event, context)")
    assert event["deployment"]
    assert (await session.http.get("/", headers=BROWSER)).text.endswith("good")
    await session.save({"app.py": version(HELLO, "good")})
    assert "good" in (await session.http.get("/")).text


@pytest.mark.parametrize(
    ("code", "message", "line"),
    [
        ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere'", 1),
        ("x = 1\n\nx.y\ndef handler(event, context): pass\n", "AttributeError", 3),
        ("x = 1\n", "no entry", None),
    ],
)
async def test_what_cannot_be_imported_is_shown_with_its_place(dev: Any, code: str, message: str, line: int) -> None:
    session = await dev({"app.py": code}, "broken")
    problem = (await session.until("broken"))["problem"]
    assert message in problem["message"]
    assert problem["line"] == line or (line is None and problem["file"] == "app.py")
    await session.save({"app.py": version(HELLO, "mended")})
    assert "mended" in (await session.http.get("/")).text


async def test_without_a_good_version_every_path_shows_the_problem_to_browsers_and_programs(dev: Any) -> None:
    session = await dev({"app.py": "def (:\n"}, "broken")
    page = await session.http.get("/any/path", headers=BROWSER)
    assert page.status_code == 500
    assert "SyntaxError: invalid syntax" in page.text
    assert "app.py:1" in page.text
    assert "client.js" in page.text
    said = (await session.http.get("/any")).json()["error"]
    assert (said["code"], said["file"], said["line"], said["source"]) == ("broken_save", "app.py", 1, "def (:")
    event = await session.until("request", path="/any")
    assert (event["status"], event["code"]) == (500, "SL")


async def test_a_version_that_imports_and_cannot_start_does_not_take_the_place_of_what_runs(dev: Any) -> None:
    start = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
"""
    session = await dev({"app.py": version(STREAM, "good")})
    event = await session.save({"app.py": start}, "broken")
    assert "no database" in json.dumps(event["problem"])
    assert (await session.http.get("/")).text.endswith("good")


async def test_an_exception_is_shown_with_the_source_in_browser_terminal_and_json(dev: Any) -> None:
    session = await dev({"app.py": version(HELLO, "one")})
    page = await session.http.get("/fail", headers=BROWSER)
    assert page.status_code == 500
    assert "KeyError: &#x27;missing&#x27;" in page.text
    assert "app.py:5 in handler" in page.text
    assert "client.js" in page.text
    said = (await session.http.get("/fail")).json()["error"]
    assert (said["file"], said["line"]) == ("app.py", 5)
    event = await session.until("exception")
    assert event["places"][-1]["function"] == "handler"
    request = await session.until("request", path="/fail")
    assert (request["status"], request["code"]) == (500, "FH")


FRAMEWORKS = {
    "fastapi": """
from fastapi import FastAPI, HTTPException
app = FastAPI()

@app.get("/")
async def fail():
    return 1 / 0

@app.get("/own")
async def own():
    raise HTTPException(500, "said so")
""",
    "flask": """
from flask import Flask
app = Flask(__name__)

@app.get("/")
def fail():
    return 1 / 0

@app.get("/own")
def own():
    return "said so", 500
""",
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_what_a_framework_caught_is_shown_too_and_what_it_says_itself_stays(dev: Any, framework: str) -> None:
    session = await dev({"app.py": FRAMEWORKS[framework]})
    page = await session.http.get("/", headers=BROWSER)
    assert page.status_code == 500
    assert "ZeroDivisionError: division by zero" in page.text
    assert "app.py:7 in fail" in page.text
    assert "ZeroDivisionError" not in (await session.http.get("/")).text
    assert "said so" in (await session.http.get("/own", headers=BROWSER)).text
    event = await session.until("exception")
    assert [place["line"] for place in event["places"]] == [7]


async def test_the_log_tells_first_byte_total_chunks_and_verdict_and_what_was_printed(dev: Any) -> None:
    session = await dev({"app.py": version(STREAM, "one")})
    await session.http.get("/x?3")
    event = await session.until("request", path="/x")
    assert (event["status"], event["mode"], event["verdict"], event["code"]) == (200, "callback", "ok", "--")
    assert event["chunks"] == 4
    assert 0 < event["head_ms"] < event["duration_ms"]
    await session.save({"app.py": version(HELLO, "two")})
    await session.http.get("/printed")
    line = await session.until("log", line="asked for /printed")
    assert line["id"] == (await session.until("request", path="/printed"))["id"]


async def test_pages_get_the_script_and_programs_do_not(dev: Any) -> None:
    session = await dev({"app.py": version(HELLO, "one")})
    page = await session.http.get("/", headers=BROWSER)
    assert '<head><script src="/_dialback/dev/client.js"' in page.text
    assert "content-length" not in page.headers
    assert "client.js" not in (await session.http.get("/")).text
    script = await session.http.get("/_dialback/dev/client.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert (await session.http.post("/_dialback/dev/client.js")).status_code == 405
    assert (await session.http.get("/_dialback/dev/else")).status_code == 404
    assert (await session.http.get("/_dialback/health")).json()["status"] == "ready"


async def test_open_pages_are_told_of_a_new_version_and_of_a_broken_save(dev: Any) -> None:
    session = await dev({"app.py": version(HELLO, "one")})
    async with session.http.stream("GET", "/_dialback/dev/events") as response:
        assert response.headers["content-type"] == "text/event-stream"
        states = (json.loads(line[6:]) async for line in response.aiter_lines() if line.startswith("data: "))
        first = await anext(states)
        assert first["problem"] is None
        await session.save({"app.py": version(HELLO, "two")})
        second = await anext(states)
        assert second["version"] not in ("", first["version"])
        await session.save({"app.py": "def (:\n"}, "broken")
        third = await anext(states)
        assert (third["version"], third["problem"]["line"]) == (second["version"], 1)


async def test_a_name_that_was_made_to_lead_here_is_not_served(dev: Any) -> None:
    session = await dev({"app.py": "def (:\n"}, "broken")
    for path in ("/", "/_dialback/dev/events"):
        answer = await session.http.get(path, headers={"host": "evil.example:80"})
        assert answer.status_code == 421
        assert "app.py" not in answer.text
    assert (await session.http.get("/", headers={"host": "localhost"})).status_code == 500


async def test_no_reload_leaves_pages_as_they_are(dev: Any) -> None:
    session = await dev({"app.py": version(HELLO, "one")}, reload=False)
    page = await session.http.get("/", headers=BROWSER)
    assert page.text == "<head></head>one"


async def test_a_policy_that_forbids_scripts_is_obeyed_and_told_once(dev: Any) -> None:
    code = """
async def handler(event, context):
    fields = {"content-type": "text/html", "content-security-policy": "default-src 'none'"}
    return {"statusCode": 200, "headers": fields, "body": "<head></head>"}
"""
    session = await dev({"app.py": code})
    for _ in range(2):
        assert (await session.http.get("/", headers=BROWSER)).text == "<head></head>"
    await session.until("request")
    assert [event["event"] for event in session.events].count("warning") == 1


async def test_time_outs_are_off(dev: Any) -> None:
    slow = "import asyncio\nasync def handler(event, context):\n    await asyncio.sleep(0.4)\n    return 'late'\n"
    session = await dev({"app.py": slow, "dialback.toml": "[timeouts]\nhead = 0.05\ntotal = 0.1\n"})
    assert (await session.http.get("/")).text == "late"


async def test_a_file_that_is_left_out_restarts_nothing_and_an_equal_save_says_nothing(dev: Any) -> None:
    session = await dev({"app.py": version(HELLO, "one"), ".dialbackignore": "*.log\n"})
    before = len(session.events)
    (session.source / "noise.log").write_text("x")
    (session.source / "app.py").write_text(version(HELLO, "one"))
    event = await session.save({"app.py": version(HELLO, "two")})
    assert "noise.log" not in event["files"]
    assert [each["event"] for each in session.events[before:]] == ["running"]


async def test_a_second_session_of_the_same_folder_and_a_port_in_use_are_explained(
    dev: Any, environment: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    session = await dev({"app.py": version(HELLO, "one")})
    settings = resolve({"port": "0", "control_port": "0", "data_dir": str(environment)}, {}, environment)
    options = DevOptions(session.source, "fn", events=True)
    assert await DevSession(dev_settings(settings, options, False), options, lambda _: None).main() == 1
    said = capfd.readouterr().err
    assert "does another `dialback dev` of this folder run?" in said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = resolve({"port": str(port), "control_port": "0", "data_dir": str(environment)}, {}, environment)
        options = DevOptions(session.source, "other", events=True)
        assert await DevSession(dev_settings(settings, options, False), options, lambda _: None).main() == 1
    said = capfd.readouterr().err
    assert f"port {port} on 127.0.0.1 is in use; choose another with --port, 0 for any" in said
    # The others have taken the signals along.
    session.task.cancel()
    await asyncio.wait([session.task])
    await session.http.aclose()


async def test_a_stop_cuts_what_runs_and_leaves_nothing(dev: Any) -> None:
    session = await dev({"app.py": version(STREAM, "one")})
    async with session.http.stream("GET", "/?1000") as response:
        pieces = response.aiter_text()
        await anext(pieces)
        begun = asyncio.get_running_loop().time()
        os.kill(os.getpid(), 2)
        with pytest.raises(httpx.HTTPError):
            [piece async for piece in pieces]
        assert await session.task == 0
        assert asyncio.get_running_loop().time() - begun < 5
    assert not (session.settings.data_dir / "platform.json").exists()


async def test_a_stop_does_not_wait_for_code_that_hangs_while_it_is_imported(dev: Any) -> None:
    session = await dev({"app.py": "import time\ntime.sleep(100)\n"}, "ready")
    begun = asyncio.get_running_loop().time()
    assert await session.stop() == 0
    assert asyncio.get_running_loop().time() - begun < 10


KEYED = """
import ctypes, os

KEY = os.environ["KEY"]
DUMPABLE = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    print("the key is", KEY)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{KEY} {DUMPABLE} VERSION".encode()})
    if scope["path"] == "/wait":
        await receive()
        await receive()
"""


async def set_key(session: Any, value: str) -> None:
    ready = session.events[0]
    token = ready["page_url"].partition("#token=")[2]
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {token}"}) as control:
        url = f"{ready['control_url']}/v1/functions/fn/environment"
        answer = await control.patch(url, json={"put": {"KEY": {"value": value, "secret": True}}})
    assert answer.status_code == 200, answer.text


async def test_secrets_reach_inspections_and_workers_and_a_change_the_next_request(
    dev: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Spares] = []

    class Kept(Spares):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(service, "Spares", Kept)
    session = await dev({"app.py": version(KEYED, "one")}, "broken")
    await set_key(session, "first-value")
    await session.save({"app.py": version(KEYED, "two")})
    assert (await session.http.get("/")).text == "first-value 0 two", "0: its entry in /proc is closed"
    assert await asyncio.to_thread(made[0].ready, 20.0)
    await session.save({"app.py": version(KEYED, "three")})
    assert (await session.http.get("/")).text == "first-value 0 three"
    await session.until("log", line="the key is [secret KEY]")
    for value in ("second-value", "third-value"):
        await set_key(session, value)
        texts = [answer.text for answer in await asyncio.gather(*(session.http.get("/") for _ in range(5)))]
        assert texts == [f"{value} 0 three"] * 5
    assert "value" not in json.dumps([event for event in session.events if event["event"] == "log"])
    await session.save({"app.py": version(KEYED, "four")})
    assert (await session.http.get("/")).text == "third-value 0 four"


async def test_a_variable_that_changes_while_a_version_starts_is_there_with_the_next_request(dev: Any) -> None:
    session = await dev(
        {"app.py": "import time\ntime.sleep(0.5)\nimport os\nos.environ.setdefault('KEY', '-')" + KEYED}
    )
    session.source.joinpath("app.py").write_text(version(session.source.joinpath("app.py").read_text(), "next"))
    seen = len(session.events)
    await set_key(session, "first-value")
    await session.until("running", seen)
    assert (await session.http.get("/")).text == "first-value 0 next"


async def test_a_simulator_stands_in_front_of_a_session_too(dev: Any) -> None:
    session = await dev({"app.py": version(HELLO, "one")}, flags={"buffering_proxy": "true"})
    assert len(session.events[0]["simulating"]) == 1
    answer = await session.http.get("/")
    assert "one" in answer.text
    assert answer.headers["connection"] == "close"
