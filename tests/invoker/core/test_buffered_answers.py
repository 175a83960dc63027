"""How a runtime's whole value becomes a response: as Lambda reads a Function URL's answer."""

import json
from typing import Any

import pytest

from dialback_invoker.buffered import BadAnswer, as_response


def response(value: Any) -> tuple[int, dict[str, str], bytes]:
    head, body = as_response(value if isinstance(value, bytes) else json.dumps(value).encode())
    return head.status, {name.decode(): text.decode("latin-1") for name, text in head.fields}, body


def test_an_object_with_a_status_is_a_response() -> None:
    value = {"statusCode": 201, "headers": {"X-A": "b", "Content-Type": "text/plain"}, "body": "héllo"}
    status, fields, body = response(value)
    assert (status, body) == (201, "héllo".encode())
    assert fields == {"x-a": "b", "content-type": "text/plain", "content-length": "6"}


def test_cookies_are_fields_of_their_own() -> None:
    head, _ = as_response(json.dumps({"statusCode": 200, "cookies": ["a=1", "b=2"]}).encode())
    assert [value for name, value in head.fields if name == b"set-cookie"] == [b"a=1", b"b=2"]


@pytest.mark.parametrize(
    ("value", "body"),
    [({"a": 1}, b'{"a":1}'), ([1], b"[1]"), (None, b"null"), ("plain", b"plain"), (7, b"7"), (b"", b"null")],
)
def test_any_other_value_is_the_body_of_a_200(value: Any, body: bytes) -> None:
    assert response(value) == (200, {"content-type": "application/json", "content-length": str(len(body))}, body)


def test_a_base64_body_is_decoded() -> None:
    assert response({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True})[2] == b"\x00\xff"


def test_what_frames_the_message_is_ours() -> None:
    headers = {"Content-Length": "999", "Transfer-Encoding": "chunked"}
    _, fields, body = response({"statusCode": 200, "headers": headers, "body": "abc"})
    assert (fields["content-length"], "transfer-encoding" in fields, body) == ("3", False, b"abc")


def test_values_that_are_no_texts_are_written_as_json() -> None:
    headers = {"x-number": 5, "x-null": None, "x-list": ["a", "b"], "x-true": True, "x-wide": "€"}
    head, body = as_response(json.dumps({"statusCode": "200", "headers": headers, "body": {"a": [1]}}).encode())
    assert body == b'{"a":[1]}'
    assert (b"x-number", b"5") in head.fields
    assert (b"x-null", b"") in head.fields
    assert [value for name, value in head.fields if name == b"x-list"] == [b"a", b"b"]
    assert (b"x-true", b"true") in head.fields
    assert (b"x-wide", "€".encode()) in head.fields


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'"\\ud800"', "no JSON"),
        ({"statusCode": "ok"}, "statusCode 'ok' is not a number"),
        ({"statusCode": None}, "is not a number"),
        ({"statusCode": [200]}, "is not a number"),
        (b'{"statusCode": 1e400}', "no JSON|not a number"),
        ({"statusCode": 200, "headers": ["a"]}, "headers is not an object"),
        ({"statusCode": 200, "cookies": "a=1"}, "cookies is not a list"),
        ({"statusCode": 200, "body": "!!!", "isBase64Encoded": True}, "base64"),
        ({"statusCode": 200, "body": "é", "isBase64Encoded": True}, "base64"),
    ],
)
def test_a_value_that_is_no_response_says_why(value: Any, said: str) -> None:
    with pytest.raises(BadAnswer, match=said):
        response(value)
