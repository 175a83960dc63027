"""The examples that use what the bridge has for function authors, called by its own test kit."""

from collections.abc import Callable, Iterator

import pytest

from dialback_bridge.testing import TestClient

from .conftest import EXAMPLES


@pytest.fixture
def client() -> Iterator[Callable[[str], TestClient]]:
    made: list[TestClient] = []

    def make(name: str) -> TestClient:
        made.append(TestClient(EXAMPLES / name, prefix=f"/@{name}"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def names(text: str) -> list[str]:
    return [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]


def test_fan_in_gives_what_comes_first(client) -> None:
    seen = names(client("fan-in").get("/?speed=10").text)
    assert len(seen) == 15
    assert seen[0] == "hare"
    assert seen[-1] == "tortoise"


def test_fan_in_keeps_the_order_of_its_sources_if_asked(client) -> None:
    seen = names(client("fan-in").get("/?speed=20&order=source").text)
    assert seen == ["tortoise"] * 5 + ["hare"] * 5 + ["clock"] * 5


def test_fan_in_closes_its_sources_when_the_client_leaves(client, capsys) -> None:
    with client("fan-in").stream("GET", "/?speed=5") as response:
        assert response.read_chunk()
        response.leave()
        assert response.wait_over() == "cancelled"
    assert sorted(capsys.readouterr().out.split("\n")[:3]) == [
        "clock is closed",
        "hare is closed",
        "tortoise is closed",
    ]


def test_fan_in_refuses_nonsense(client) -> None:
    assert client("fan-in").get("/?order=random").status == 400


def test_the_page_has_its_shell_first_and_its_parts_as_they_are_ready(client) -> None:
    response = client("progressive-html").get("/?speed=10")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    shell, *parts = [chunk.data.decode() for chunk in response.chunks]
    assert shell.startswith("<!doctype html>")
    for name in ("headline", "weather", "stocks"):
        assert f'id="{name}"' in shell
    assert [part.split('"')[1] for part in parts[:3]] == ["weather", "stocks", "headline"]
    assert response.chunks[0].at < response.chunks[1].at - 0.02
    assert response.text.endswith("</html>\n")


def test_rows_come_as_lines_of_json(client) -> None:
    lines = client("json-lines").get("/?rows=1000").text.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (1000, '{"n":1,"square":1}', '{"n":1000,"square":1000000}')


def test_the_query_stops_when_nobody_wants_its_rows(client, capsys) -> None:
    with client("json-lines").stream("GET", "/?rows=1000000000") as response:
        assert response.read_chunk()
        response.leave()
        assert response.wait_over() == "cancelled"
    assert "of 1000000000 rows were wanted" in capsys.readouterr().out


def test_the_answer_is_there_before_the_work_is_done(client) -> None:
    shop = client("background")
    with shop.stream("POST", "/", body="tea") as response:
        order = response.read()
        assert response.status == 202
        assert b'"accepted"' in order
        assert list(shop.get("/").json().values()) == ["accepted"]
        response.wait_over()
    assert list(shop.get("/").json().values()) == ["ready"]


def test_methods_that_an_example_does_not_have_are_refused(client) -> None:
    assert client("background").request("DELETE", "/").headers["allow"] == "GET, POST, HEAD"


def test_flask_streams_its_report_row_by_row(client) -> None:
    response = client("flask").get("/?rows=3")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    head, *rows, end = [chunk.data.decode() for chunk in response.chunks]
    assert 'href="/@flask/events?rows=3"' in head
    assert rows == [f"<tr><td>{number}</td><td>{number * number}</td></tr>\n" for number in (1, 2, 3)]
    assert end == "</table></html>\n"
    assert response.chunks[0].at < response.chunks[-1].at - 0.15


def test_flask_sends_events_too(client) -> None:
    response = client("flask").get("/events?rows=2")
    assert response.headers["content-type"] == "text/event-stream"
    assert response.text == 'data: {"number": 1, "square": 1}\n\ndata: {"number": 2, "square": 4}\n\n'


def test_flask_stops_its_query_when_the_client_leaves(client, capsys) -> None:
    with client("flask").stream("GET", "/?rows=1000") as response:
        assert response.read_chunk()
        response.leave()
        assert response.wait_over() == "cancelled"
    assert " of 1000 rows were made" in capsys.readouterr().out


def test_flask_refuses_nonsense(client) -> None:
    assert client("flask").get("/?rows=many").status == 400
