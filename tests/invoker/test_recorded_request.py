"""A recorded request can be sent again, and holds no credential."""

import json

import pytest

from dialback_invoker import stamp
from dialback_invoker.recorded_request import LONGEST_BODY, BodyRoom, body_of, is_secret, recorded
from dialback_invoker.routing import Route
from dialback_wire.messages import Fields, Request


def request(fields: Fields = (), length: int | None = 0) -> Request:
    return Request(
        "0" * 26, b"POST", b"/@f/a%20b?q=1", b"f.example:80", fields, b"http", b"1.1", b"127.0.0.1:1", length
    )


def test_the_client_s_own_fields_are_kept_and_those_that_the_edge_makes_anew_are_not() -> None:
    fields = (
        (b"host", b"f.example:80"),
        (b"content-length", b"3"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"traceparent", b"00-1-2-00"),
        (b"x-dialback-run", b"run_1"),
        (b"accept", b"text/html"),
        (b"accept", b"*/*"),
        (b"x-name", "grüße".encode()),
        (b"x-raw", b"\xff"),
    )
    record = recorded(request(fields), None)
    assert record["headers"] == [("accept", "text/html"), ("accept", "*/*"), ("x-name", "grüße"), ("x-raw", "\xff")]
    assert record["target"] == "/@f/a%20b?q=1"
    assert (record["method"], record["authority"], record["left_out"]) == ("POST", "f.example:80", [])


@pytest.mark.parametrize(
    "name",
    ["authorization", "cookie", "x-api-key", "apikey-x-api-key", "x-auth-token", "x-csrf-token", "x-amz-security-token",
     "proxy-authorization", "x-hub-signature", "client-secret", "x_access_key", "x-session"],
)  # fmt: skip
def test_fields_that_carry_credentials_are_kept_by_name_alone(name: str) -> None:
    record = recorded(request(((name.encode(), b"hunter2"), (name.encode(), b"hunter3"))), None)
    assert record["left_out"] == [name]
    assert "hunter" not in json.dumps(record)
    event = stamp.event(request(((name.encode(), b"hunter2"),)), Route("f", "", "/", ""), None, None)
    shown = stamp.shown(stamp.encode(event))
    assert "hunter" not in json.dumps(shown)
    assert "[redacted]" in json.dumps(shown)


@pytest.mark.parametrize("name", ["accept", "content-type", "keyboard", "x-author", "idempotency-key", "passage"])
def test_other_fields_are_no_credentials(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize("body", [b"", b'{"a": "\xc3\xa4"}', b"\x00\xff\xfe", b"nul \x00 and \r\n"])
def test_a_body_comes_back_as_it_was(body: bytes) -> None:
    record = json.loads(json.dumps(recorded(request(length=len(body)), body)))
    assert record["body_kept"] is True
    assert record["body_bytes"] == len(body)
    assert body_of(record) == body


def test_a_body_that_streamed_is_said_to_be_missing() -> None:
    for length in (None, 70_000):
        record = recorded(request(length=length), None)
        assert (record["body_kept"], record["body"], record["body_bytes"]) == (False, None, length)
        assert body_of(record) is None


def test_what_running_invocations_hold_is_bounded() -> None:
    room = BodyRoom(100_000)
    assert not room.take(LONGEST_BODY + 1)
    assert room.take(LONGEST_BODY)
    assert not room.take(LONGEST_BODY)
    room.give_back(LONGEST_BODY)
    assert room.take(LONGEST_BODY)
