"""The line in HTML pages: where it goes, what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from dialback.dev.reload import Injection, Reloading, script
from dialback_edge.request_head import RequestHead
from dialback_wire.messages import Head

PAGE = b"<!doctype html><html><HEAD data-x='1'><title>t</title></HEAD><body>text</body></html>"
LINE = b"<script></script>"


def injected(*pieces: bytes) -> bytes:
    injection = Injection(LINE)
    return b"".join([injection.data(piece) for piece in pieces]) + injection.end()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_line_stands_behind_the_head_tag_however_the_page_is_cut(size: int) -> None:
    pieces = [PAGE[at : at + size] for at in range(0, len(PAGE), size)]
    assert injected(*pieces) == PAGE.replace(b"data-x='1'>", b"data-x='1'>" + LINE)


def test_nothing_is_held_back() -> None:
    injection = Injection(LINE)
    came = 0
    for piece in (PAGE[at : at + 5] for at in range(0, len(PAGE), 5)):
        out = injection.data(piece)
        came += len(piece)
        assert len(out) >= len(piece)


def test_a_page_without_a_head_gets_the_line_at_its_end() -> None:
    assert injected(b"<header>x</header>", b"<h1>y</h1>") == b"<header>x</header><h1>y</h1>" + LINE
    assert injected() == LINE


def test_a_head_that_comes_late_is_not_looked_for() -> None:
    assert injected(b"x" * 70_000, b"<head>") == b"x" * 70_000 + b"<head>" + LINE


def request(method: bytes = b"GET", accept: bytes = b"text/html", **fields: bytes) -> RequestHead:
    found = [(name.replace("_", "-").encode(), value) for name, value in fields.items()]
    rest: dict[str, Any] = {"body_length": 0, "has_length": False, "keep_alive": True, "expects_continue": False}
    rest |= {"takes_trailers": False, "connection": b"", "traceparent": b""}
    return RequestHead(method, b"/", 1, b"localhost", found, accept=accept, **rest)


def head(status: int = 200, **fields: bytes) -> Head:
    named = {"content_type": b"text/html; charset=utf-8"} | fields
    return Head(status, tuple((name.replace("_", "-").encode(), value) for name, value in named.items()))


def filtered(asked: RequestHead, answered: Head, told: list[str] | None = None) -> Head | None:
    found = Reloading(lambda: "d_1", ([] if told is None else told).append)(asked, answered)
    return None if found is None else found[0]


def test_a_page_loses_its_length_and_its_validators() -> None:
    found = filtered(request(), head(content_length=b"5", etag=b'"x"', last_modified=b"y", x_own=b"z"))
    assert found == head(x_own=b"z")


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (request(b"HEAD"), head()),
        (request(b"POST"), head()),
        (request(accept=b"*/*"), head()),
        (request(accept=b"application/json"), head()),
        (request(sec_fetch_dest=b"empty"), head()),
        (request(), head(304)),
        (request(), head(204)),
        (request(), head(206)),
        (request(), head(content_type=b"text/plain")),
        (request(), head(content_encoding=b"gzip")),
        (request(), Head(200, ())),
    ],
)
def test_what_is_no_page_or_cannot_be_changed_is_left_alone(asked: RequestHead, answered: Head) -> None:
    assert filtered(asked, answered) is None


def test_a_frame_and_an_identity_coding_count_as_pages() -> None:
    assert filtered(request(sec_fetch_dest=b"iframe", accept=b""), head(content_encoding=b"identity")) is not None


@pytest.mark.parametrize(
    ("policy", "forbidden"),
    [
        (b"default-src 'none'", True),
        (b"default-src 'self'", False),
        (b"img-src 'none'; ", False),
        (b"default-src 'self'; script-src 'nonce-abc'", True),
        (b"script-src-elem 'self'; script-src 'none'", False),
        (b"script-src *", False),
    ],
)
def test_a_policy_that_forbids_the_script_is_obeyed_and_told(policy: bytes, forbidden: bool) -> None:
    told: list[str] = []
    found = filtered(request(), head(content_security_policy=policy), told)
    assert (found is None) == forbidden
    assert told == ([policy.decode()] if forbidden else [])


def test_the_line_says_which_version_and_which_problem_the_page_shows() -> None:
    assert b'data-version="d_1" data-problem=""' in script("d_1")
    assert b'data-problem="3"' in script("", 3)
