"""Strict framing: what is malformed, ambiguous or too large is refused, and nothing after it is answered."""

import pytest
from edge_kit import Front, get

HOST = b"Host: example.test\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: example.test\r\n\r\n"


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST / HTTP/" + version + b"\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


CORPUS: dict[str, tuple[int, bytes]] = {
    "CL and TE": (400, post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    "TE and CL": (400, post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n")),
    "two CL that differ": (400, post(b"Content-Length: 5", b"Content-Length: 6", body=b"12345")),
    "two CL that agree": (400, post(b"Content-Length: 5", b"Content-Length: 5", body=b"12345")),
    "CL list": (400, post(b"Content-Length: 5, 5", body=b"12345")),
    "CL with a plus": (400, post(b"Content-Length: +5", body=b"12345")),
    "CL negative": (400, post(b"Content-Length: -5", body=b"12345")),
    "CL hexadecimal": (400, post(b"Content-Length: 0x5", body=b"12345")),
    "CL empty": (400, post(b"Content-Length: ", body=b"12345")),
    "CL with a space inside": (400, post(b"Content-Length: 1 0", body=b"1234567890")),
    "CL with an underscore": (400, post(b"Content-Length: 1_0", body=b"1234567890")),
    "CL enormous": (400, post(b"Content-Length: 99999999999999999999", body=b"12345")),
    "CL with space before the colon": (400, post(b"Content-Length : 5", body=b"12345")),
    "TE gzip": (501, post(b"Transfer-Encoding: gzip", body=b"0\r\n\r\n")),
    "TE identity": (501, post(b"Transfer-Encoding: identity", body=b"0\r\n\r\n")),
    "TE gzip, chunked": (501, post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
    "TE chunked, gzip": (501, post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n")),
    "TE xchunked": (501, post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n")),
    "TE chunked twice in one": (400, post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n")),
    "TE twice": (400, post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    "TE twice, second odd": (400, post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", body=b"0\r\n\r\n")),
    "TE empty": (400, post(b"Transfer-Encoding:", body=b"0\r\n\r\n")),
    "TE empty with CL": (400, post(b"Transfer-Encoding:", b"Content-Length: 5", body=b"12345")),
    "TE with a leading comma": (400, post(b"Transfer-Encoding: , chunked", body=b"0\r\n\r\n")),
    "TE with a vertical tab": (400, post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n")),
    "TE with space before the colon": (400, post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    "TE in quotes": (501, post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n")),
    "TE folded, with CL": (400, post(b"Transfer-Encoding:\r\n chunked", b"Content-Length: 1", body=b"0\r\n\r\n")),
    "TE folded": (400, post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n")),
    "TE on HTTP/1.0": (400, post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.0")),
    "bare LF after the request line": (400, b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    "bare LF after a field": (400, b"GET / HTTP/1.1\r\nHost: example.test\nX: y\r\n\r\n"),
    "bare LF alone": (400, b"GET / HTTP/1.1\nHost: example.test\n\n"),
    "bare LF for the empty line": (400, b"GET / HTTP/1.1\r\nHost: example.test\r\n\n"),
    "bare CR in a value": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n"),
    "NUL in a value": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n"),
    "NUL in a name": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X\0: ab\r\n\r\n"),
    "NUL in the target": (400, b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "NUL in an unfinished head": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: \0"),
    "obs-fold": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n"),
    "obs-fold with a tab": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n\tb\r\n\r\n"),
    "space before the first field": (400, b"GET / HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n"),
    "field without a colon": (400, b"GET / HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n"),
    "field without a name": (400, b"GET / HTTP/1.1\r\n" + HOST + b": x\r\n\r\n"),
    "non-ASCII in a name": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X\xe9: x\r\n\r\n"),
    "control character in a value": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: \x01\r\n\r\n"),
    "DEL in a value": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: \x7f\r\n\r\n"),
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
    "empty Host": (400, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    "Host with a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "Host with userinfo": (400, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    "Host with a list": (400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "Host with a space": (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "Host with port 99999": (400, b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n"),
    "Host with two ports": (400, b"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    "Host with an empty port": (400, b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
    "Host with a query": (400, b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
    "bad Host on HTTP/1.0": (400, b"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n"),
    "absolute-form with another Host": (400, b"GET http://b.test/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "absolute-form with userinfo": (400, b"GET http://u@example.test/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "absolute-form without a host": (400, b"GET http:/// HTTP/1.1\r\n" + HOST + b"\r\n"),
    "absolute-form of another scheme": (400, b"GET ftp://example.test/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a target that is no path": (400, b"GET x HTTP/1.1\r\n" + HOST + b"\r\n"),
    "star with GET": (400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a fragment in the target": (400, b"GET /#x HTTP/1.1\r\n" + HOST + b"\r\n"),
    "non-ASCII in the target": (400, b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two spaces in the request line": (400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "space at the request line's end": (400, b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    "a space in the target": (400, b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a tab in the request line": (400, b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no version": (400, b"GET /\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (505, b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    "HTTP/1.2": (505, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n"),
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    "HTTP/11.1": (400, b"GET / HTTP/11.1\r\n" + HOST + b"\r\n"),
    "another protocol": (400, b"GET / RTSP/1.0\r\n" + HOST + b"\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00"),
    "a space first": (400, b" GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TRACE": (405, b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "CONNECT": (405, b"CONNECT example.test:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "unknown method": (501, b"BREW /pot HTTP/1.1\r\n" + HOST + b"\r\n"),
    "method in lower case": (501, b"get / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "PROPFIND": (501, b"PROPFIND / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an expectation of another kind": (417, post(b"Expect: tea", b"Content-Length: 5")),
    "a long request line": (414, b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a long request line without an end": (414, b"GET /" + b"x" * 9000),
    "a long line of nothing": (414, b"x" * 100_000),
    "a large head": (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 70_000 + b"\r\n\r\n"),
    "a large head without an end": (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 70_000),
    "many fields": (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 128 + b"\r\n"),
}


@pytest.mark.parametrize("name", CORPUS)
async def test_a_bad_request_is_refused_and_nothing_after_it_is_answered(front: Front, name: str) -> None:
    status, raw = CORPUS[name]
    client = await front.client(raw + SMUGGLED)
    answer = await client.answer()
    assert answer.status == status, answer.body
    assert answer["connection"] == "close"
    assert len(answer["x-dialback-id"]) == 26
    assert ("allow" in answer) == (status == 405)
    assert await client.rest() == b""
    assert front.invoker.calls == []
    assert await front.log.code() == "PR"


@pytest.mark.parametrize("name", [name for name, (status, raw) in CORPUS.items() if len(raw) < 1000])
async def test_a_bad_request_is_refused_also_when_it_comes_byte_by_byte(front: Front, name: str) -> None:
    status, raw = CORPUS[name]
    client = await front.client()
    try:
        await client.send_bytewise(raw)
    except (ConnectionResetError, BrokenPipeError):
        pass
    assert (await client.answer()).status == status
    assert front.invoker.calls == []


CHUNKS = {
    "size not hexadecimal": b"xyz\r\nhello\r\n0\r\n\r\n",
    "size negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size with a space": b"5 \r\nhello\r\n0\r\n\r\n",
    "size with a space first": b" 5\r\nhello\r\n0\r\n\r\n",
    "size with an underscore": b"1_0\r\nhello\r\n0\r\n\r\n",
    "size enormous": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "size empty": b"\r\nhello\r\n0\r\n\r\n",
    "size line with a bare LF": b"5\nhello\r\n0\r\n\r\n",
    "size line with a bare CR": b"5\rhello\r\n0\r\n\r\n",
    "size line without an end": b"5;" + b"x" * 1000,
    "NUL in an extension": b"5;a\0\r\nhello\r\n0\r\n\r\n",
    "data longer than the size": b"4\r\nhello\r\n0\r\n\r\n",
    "data ended by a bare LF": b"5\r\nhello\n0\r\n\r\n",
    "data ended by CR alone": b"5\r\nhello\r0\r\n\r\n",
    "trailer without a colon": b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
    "trailer with a space in its name": b"5\r\nhello\r\n0\r\na b: c\r\n\r\n",
    "trailer folded": b"5\r\nhello\r\n0\r\na: b\r\n c\r\n\r\n",
    "trailer with NUL": b"5\r\nhello\r\n0\r\na: \0\r\n\r\n",
    "trailers with a bare LF": b"5\r\nhello\r\n0\r\na: b\n\n",
    "trailers too large": b"5\r\nhello\r\n0\r\n"
    + b"a: "
    + b"x" * 7000
    + b"\r\n"
    + (b"b: " + b"x" * 7000 + b"\r\n") * 2,
    "a trailer line too long": b"5\r\nhello\r\n0\r\n" + b"a: " + b"x" * 9000,
}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("name", CHUNKS)
async def test_a_broken_chunked_body_is_400_and_the_function_sees_a_disconnect(
    front: Front, name: str, bytewise: bool
) -> None:
    client = await front.client(post(b"Transfer-Encoding: chunked"))
    call = await front.invoker.call()
    body = CHUNKS[name] + SMUGGLED
    if bytewise and len(body) < 1000:
        try:
            await client.send_bytewise(body)
        except (ConnectionResetError, BrokenPipeError):
            pass
    else:
        await client.send(body)
    await call.until(lambda: call.cancelled is not None)
    assert call.body_end is None
    answer = await client.answer()
    assert (answer.status, answer["connection"]) == (400, "close")
    assert len(front.invoker.calls) == 1
    assert await front.log.code() == "CR"


async def test_good_chunked_bodies_in_any_split(front: Front) -> None:
    front.invoker.handler = lambda call: call.answer(bytes(call.body))
    body = b'5\r\nhello\r\n00B ; a=b;c="d e"\r\n, my worlds\r\n000\r\nX-T: 1\r\nY: \r\n\r\n'
    raw = post(b"transfer-encoding: Chunked", body=body)
    for cut in range(len(raw) - len(body), len(raw), 3):
        client = await front.client(raw[:cut])
        await client.send(raw[cut:] + get("/next"))
        assert (await client.answer()).body == b"hello, my worlds"
        assert (await client.answer()).body == b""


async def test_128_fields_and_a_head_of_almost_64_kib_are_fine(front: Front) -> None:
    front.invoker.handler = lambda call: call.answer(b"ok")
    assert (await front.ask(get("/", *["X: y"] * 127))).body == b"ok"
    assert (await front.ask(get("/", "X: " + "x" * 65_000))).body == b"ok"
    assert (await front.ask(get("/" + "x" * 8000))).body == b"ok"


async def test_the_limits_can_be_set(front: Front) -> None:
    front.limits = {"request_line": 50, "head": 200, "fields": 3}
    assert (await front.ask(get("/" + "x" * 50))).status == 414
    assert (await front.ask(get("/", "A: b", "C: d", "E: f"))).status == 431
    assert (await front.ask(get("/", "A: " + "x" * 200))).status == 431
    client = await front.client(b"GET /" + b"x" * 45)
    assert (await client.answer()).status == 414


@pytest.mark.parametrize(
    "host", ["localhost", "a.b.c:80", "127.0.0.1:65535", "[::1]", "[::1]:8080", "xn--bcher-kva.test", "A_b-c"]
)
async def test_good_hosts(front: Front, host: str) -> None:
    front.invoker.handler = lambda call: call.answer(call.request.authority)
    assert (await front.ask(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())).body == host.lower().encode()


async def test_an_html_page_for_a_browser_json_for_others(front: Front) -> None:
    accept = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
    page = await front.ask(get("/_dialback/x", accept))
    assert page["content-type"] == "text/html; charset=utf-8"
    assert b"404 Not Found" in page.body
    assert page["x-dialback-id"].encode() in page.body
    assert b"light dark" in page.body
    plain = await front.ask(get("/_dialback/x", "Accept: application/json, text/html;q=0.9"))
    assert plain["content-type"] == "application/json"
