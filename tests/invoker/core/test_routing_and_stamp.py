"""Which function a request is for, and the event that its worker is handed."""

import base64
import json

import pytest

from dialback_invoker import stamp
from dialback_invoker.routing import Route, route
from dialback_wire.messages import Fields, Request


def request(target: str = "/", host: str = "127.0.0.1:8080", fields: Fields = (), method: str = "GET") -> Request:
    return Request(
        "0" * 26, method.encode(), target.encode("latin-1"), host.encode(), fields, b"http", b"1.1", b"[::1]:4711", 0
    )


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("/@chat", Route("chat", "/@chat", "/", "")),
        ("/@chat/", Route("chat", "/@chat", "/", "")),
        ("/@chat?q=1", Route("chat", "/@chat", "/", "q=1")),
        ("/@Chat-2_b/a/b?q=1&q=2", Route("Chat-2_b", "/@Chat-2_b", "/a/b", "q=1&q=2")),
        ("/@chat//a%2Fb/%C3%A9", Route("chat", "/@chat", "//a%2Fb/%C3%A9", "")),
        ("/@chat/?a=/@other/", Route("chat", "/@chat", "/", "a=/@other/")),
    ],
)
def test_a_path_names_its_function(target: str, found: Route) -> None:
    assert route(request(target)) == found
    assert route(request(target, "other.localhost")) == found, "the path is said more loudly than the host"


@pytest.mark.parametrize("target", ["/", "/chat", "/@", "/@/x", "/@a.b/", "/@" + "a" * 65, "/x/@chat/", "*", "/@a%20/"])
def test_other_paths_name_none(target: str) -> None:
    assert route(request(target)) is None


def test_a_host_names_its_function_and_takes_nothing_off_the_path() -> None:
    assert route(request("/a?b", "chat.localhost:8080")) == Route("chat", "", "/a", "b")
    assert route(request("*", "chat.localhost")) == Route("chat", "", "*", "")


@pytest.mark.parametrize(
    "host", ["localhost", ".localhost", "a.b.localhost", "chat.localhost.evil", "chat.localhost:x"]
)
def test_other_hosts_name_none(host: str) -> None:
    assert route(request("/", host)) is None


def test_the_default_answers_what_names_none() -> None:
    assert route(request("/a?b"), "chat") == Route("chat", "", "/a", "b")
    assert route(request("/@other/"), "chat") == Route("other", "/@other", "/", "")


def event_of(asked: Request, body: bytes | None = None, root: str = "", path: str = "/", query: str = "") -> dict:  # type: ignore[type-arg]
    value = json.loads(stamp.encode(stamp.event(asked, Route("f", root, path, query), body, None)))
    assert isinstance(value, dict)
    return value


def test_the_event_is_a_function_url_event() -> None:
    asked = request(
        "/@f/a%20b?x=1&x=2&y=%C3%A9&z",
        "f.localhost:8080",
        (
            (b"accept", b"a"),
            (b"accept", b"b"),
            (b"cookie", b"a=1; b=2"),
            (b"cookie", b"c=3;"),
            (b"user-agent", b"test"),
            (b"x-latin", b"\xe9"),
        ),
        "POST",
    )
    event = event_of(asked, root="/@f", path="/a%20b", query="x=1&x=2&y=%C3%A9&z")
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/a%20b"
    assert event["rawQueryString"] == "x=1&x=2&y=%C3%A9&z"
    assert event["queryStringParameters"] == {"x": "1,2", "y": "é", "z": ""}
    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    assert event["headers"]["accept"] == "a,b"
    assert event["headers"]["x-latin"] == "é"
    assert event["headers"]["host"] == "f.localhost:8080"
    assert event["headers"]["x-forwarded-prefix"] == "/@f"
    assert "cookie" not in event["headers"]
    context = event["requestContext"]
    assert (context["domainName"], context["domainPrefix"]) == ("f.localhost:8080", "f")
    assert context["http"] == {
        "method": "POST",
        "path": "/a%20b",
        "protocol": "HTTP/1.1",
        "sourceIp": "::1",
        "userAgent": "test",
    }
    assert context["requestId"] == "0" * 26
    assert abs(context["timeEpoch"] / 1000 - __import__("time").time()) < 60
    assert (event["isBase64Encoded"], "body" in event, "dialback" in event) == (False, False, False)


def test_without_query_or_cookies_their_keys_are_absent() -> None:
    event = event_of(request())
    assert not {"cookies", "queryStringParameters", "body"} & event.keys()
    assert "x-forwarded-prefix" not in event["headers"]


@pytest.mark.parametrize(
    ("kind", "body", "plain"),
    [
        (b"application/json", b'{"a": 1}', True),
        (b"text/plain; charset=utf-8", "é".encode(), True),
        (b"application/problem+json", b"{}", True),
        (b"application/x-www-form-urlencoded", b"a=b", True),
        (b"text/plain", b"\xff", False),
        (b"application/octet-stream", b"abc", False),
        (b"", b"abc", False),
    ],
)
def test_a_body_is_text_where_its_type_says_so_and_base64_elsewhere(kind: bytes, body: bytes, plain: bool) -> None:
    event = event_of(request(fields=((b"content-type", kind),)), body)
    assert event["isBase64Encoded"] is not plain
    assert (event["body"].encode() if plain else base64.b64decode(event["body"])) == body


def test_a_shown_event_has_no_secret_and_no_long_body() -> None:
    token = f"db1_r_{'0' * 26}_{'ab' * 32}"
    callback = stamp.Callback("ws://x", token.encode(), "inline", 300)
    asked = request(fields=((b"content-type", b"text/plain"),))
    event = stamp.event(asked, Route("f", "/@f", "/", ""), b"x" * 300, callback)
    assert event["dialback"] == {
        "version": 1,
        "invocation": "0" * 26,
        "url": "ws://x",
        "token": token,
        "body": "inline",
        "body_length": 300,
        "root_path": "/@f",
    }
    shown = stamp.shown(stamp.kept(event, stamp.encode(event)))
    assert "ab" * 32 not in json.dumps(shown)
    assert shown["body"] == "x" * 200 + "... (300 characters)"
    assert event["body"] == "x" * 300
