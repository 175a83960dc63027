"""Every template is deployed as `init` writes it, and streams."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dialback.beginning import FOLDER, ORDER
from dialback.testing import TestedFunction, TestPlatform

STREAMS = {"asgi": "", "fetch": "?name=you", "generator": "", "fastapi": "stream?lines=3", "flask": "stream"}


@pytest.fixture(scope="module")
def platform() -> Iterator[TestPlatform]:
    with TestPlatform() as made:
        yield made


@pytest.fixture
def deployed(platform: TestPlatform, tmp_path: Path, request: pytest.FixtureRequest) -> TestedFunction:
    """The template, without its requirements: what they name is installed here, and tests need no network."""
    name = request.param
    shutil.copytree(FOLDER / name, tmp_path / name, ignore=shutil.ignore_patterns("requirements.txt", "__pycache__"))
    return platform.deploy(tmp_path / name)


def test_each_template_has_a_test() -> None:
    assert {*STREAMS, "sse", "openai-chat", "lambda", "probe"} == {*ORDER}


@pytest.mark.parametrize("deployed", STREAMS, indirect=True)
def test_it_streams_line_by_line(deployed: TestedFunction) -> None:
    with deployed.stream("GET", STREAMS[deployed.name]) as response:
        lines = list(response.iter_text())
        assert response.status_code == 200
    trace = deployed.trace(response)
    assert trace.verdict == "ok"
    assert trace.chunks is not None
    assert trace.chunks >= 3, lines
    (first, last) = (trace.at("first_byte"), trace.at("last_byte"))
    assert first is not None
    assert last is not None
    assert last - first > 500


@pytest.mark.parametrize("deployed", ["sse"], indirect=True)
def test_events_go_on_where_they_were_left(deployed: TestedFunction) -> None:
    assert "EventSource" in deployed.get().text
    assert deployed.get("nothing").status_code == 404
    with deployed.stream("GET", "events", headers={"last-event-id": "41"}) as response:
        assert "id: 42\n" in next(response.iter_text())
    assert deployed.trace(response).verdict == "cancelled"


@pytest.mark.parametrize("deployed", ["openai-chat"], indirect=True)
def test_chat_speaks_openais_format(deployed: TestedFunction) -> None:
    import openai

    client = openai.OpenAI(base_url=deployed.url + "v1", api_key="none", max_retries=0)
    asked = {"model": "parrot", "messages": [{"role": "user", "content": "hello there"}]}
    whole = client.chat.completions.create(**asked)  # type: ignore[call-overload]
    assert whole.choices[0].message.content == "You said: hello there "
    pieces = list(client.chat.completions.create(**asked, stream=True))  # type: ignore[call-overload]
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "You said: hello there "
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert deployed.post("v1/chat/completions", json={}).status_code == 400
    assert deployed.get("v1/models").json()["data"][0]["id"] == "parrot"
    assert deployed.get().status_code == 404
    client.close()


@pytest.mark.parametrize("deployed", ["lambda"], indirect=True)
def test_lambdas_handler_answers_as_on_lambda(deployed: TestedFunction) -> None:
    assert deployed.get("?name=you").json() == {"hello": "you", "path": "/"}


@pytest.mark.parametrize("deployed", ["probe"], indirect=True)
def test_the_probe_sends_as_many_marks_as_it_is_asked_for(deployed: TestedFunction) -> None:
    answer = deployed.get("?chunks=3&gap_ms=1&size=500&type=text/event-stream")
    assert answer.headers["dialback-probe"] == "1"
    assert answer.text.count("data: dialback-mark ") == 3
    assert deployed.get("?chunks=x&gap_ms=1").text.count("dialback-mark") == 10
    assert json.dumps(answer.headers["cache-control"]) == '"no-cache, no-transform"'
