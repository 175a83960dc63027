"""Parsers and writers by themselves: any split gives the same, hostile bytes give a refusal and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialback_edge.error_pages import error_answer, phrase, prefers_html
from dialback_edge.errors import Rejected
from dialback_edge.request_body import ChunkedBody, LengthBody
from dialback_edge.request_head import RequestHead
from dialback_edge.request_reader import RequestReader
from dialback_edge.settings import EdgeLimits
from dialback_edge.write_stall import WriteStall

LIMITS = EdgeLimits()
FRAGMENTS = [
    b"GET / HTTP/1.1\r\n",
    b"POST /a?b HTTP/1.1\r\n",
    b"GET / HTTP/1.0\r\n",
    b"Host: a\r\n",
    b"Host: a",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Connection: close\r\n",
    b"X: y\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\0",
    b"abc",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"\xff",
    b":",
]
hostile = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=25).map(b"".join)


def read_all(pieces: list[bytes]) -> list[object]:
    """What comes of the bytes: heads, bodies, and perhaps a refusal, which is the end."""
    reader = RequestReader(LIMITS)
    seen: list[object] = []
    body = b""
    in_body = False

    def take() -> None:
        nonlocal body, in_body
        while True:
            if in_body:
                if reader.body is not None:
                    if reader.waiting:
                        body += reader.take_kept_body()
                    if reader.body is not None:
                        return
                seen.append(body)
                body, in_body = b"", False
            if not reader.waiting:
                return
            head = reader.next_head()
            if head is None:
                return
            seen.append((head.method, head.target, head.authority, head.body_length, head.keep_alive, head.fields))
            in_body = True

    try:
        for piece in pieces:
            if in_body and reader.body is not None:
                body += reader.take_body(piece)
            else:
                reader.keep(piece)
            take()
    except Rejected as rejected:
        seen.append("refused" if rejected.code != "bad_chunk" else "broken body")
    return seen


@given(hostile, st.data())
@settings(max_examples=400, deadline=None)
def test_the_split_of_the_bytes_changes_nothing(data: bytes, draw: st.DataObject) -> None:
    whole = read_all([data]) if data else []
    bytewise = read_all([data[at : at + 1] for at in range(len(data))])
    cut = draw.draw(st.integers(0, len(data)))
    halves = read_all([piece for piece in (data[:cut], data[cut:]) if piece])
    # A refusal may come earlier when bytes come slowly, and what follows it is never looked at; what was accepted
    # before it is the same.
    for other in (bytewise, halves):
        if other and other[-1] == "refused":
            assert whole[: len(other) - 1] == other[:-1]
            assert not whole[len(other) - 1 :] or whole[-1] in ("refused", "broken body")
        else:
            assert other == whole


LINES = [b"Host: a", b"Host: b:80", b"Connection: close", b"Connection: keep-alive", b"Cookie: c=d", b"TE: trailers"]
LINES += [b"Content-Length: 0", b"Expect: 100-continue", b"X-Bad: \0", b"traceparent: 00-1-2-3", b"Accept: */*"]
TARGETS = st.text("".join(map(chr, range(33, 127))), max_size=8).map(lambda text: b"/" + text.encode())
heads = st.tuples(
    st.sampled_from([b"GET", b"POST", b"OPTIONS", b"get", b"TRACE"]),
    TARGETS | st.sampled_from([b"*", b"http://a/x", b"http://c/x", b"x", b""]),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2"]),
    st.lists(st.sampled_from(LINES), max_size=3, unique=True),
).map(lambda it: b" ".join(it[:3]) + b"\r\n" + b"".join(line + b"\r\n" for line in it[3]) + b"\r\n")


@given(st.lists(heads, min_size=2, max_size=4))
@settings(max_examples=400, deadline=None)
def test_a_head_means_the_same_whatever_came_before_it(raw: list[bytes]) -> None:
    one_by_one: list[object] = []
    for head in raw:
        one_by_one += read_all([head])
        if one_by_one[-1] == "refused":
            break
    assert read_all(raw) == one_by_one
    assert read_all([b"".join(raw)]) == one_by_one


def test_fields_that_come_again_are_not_read_again_until_they_are_forgotten() -> None:
    reader = RequestReader(LIMITS)

    def read(target: bytes) -> RequestHead:
        reader.keep(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n")
        head = reader.next_head()
        assert head is not None
        assert (head.target, head.authority) == (target, b"a")
        return head

    first, second = read(b"/1"), read(b"/2")
    assert second.fields is first.fields
    reader.forget()
    assert read(b"/2").fields is not first.fields


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 7))
@settings(deadline=None)
def test_chunked_bodies_come_out_as_they_went_in(chunks: list[bytes], step: int) -> None:
    raw = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\nNEXT"
    body = ChunkedBody()
    got, rest = b"", b""
    for at in range(0, len(raw), step):
        piece = raw[at : at + step]
        if body.done:
            rest += piece
        else:
            out, left = body.feed(piece)
            got += out
            rest += left
    assert (got, rest) == (b"".join(chunks), b"NEXT")


def test_a_length_body_knows_its_end() -> None:
    body = LengthBody(5)
    assert body.feed(b"abc") == (b"abc", b"")
    assert not body.done
    assert body.feed(b"defgh") == (b"de", b"fgh")
    assert body.done


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (b"", False),
        (b"*/*", False),
        (b"text/html", True),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        (b"text/html;q=0.5, application/json", False),
        (b"text/html, application/json", False),
        (b"text/html;q=nonsense", False),
        (b"text/html;level=1;q=0.2, application/json;q=0.1", True),
    ],
)
def test_html_only_for_who_prefers_it(accept: bytes, html: bool) -> None:
    assert prefers_html(accept) is html


def test_an_error_page_shows_nothing_as_markup() -> None:
    head, body = error_answer(502, "<b>", "<script>alert(1)</script>", "<i>", accept=b"text/html")
    assert b"<script>" not in body
    assert b"&lt;script&gt;" in body
    assert (b"content-length", b"%d" % len(body)) in head.fields
    assert phrase(299) == ""


def test_a_stall_is_a_span_without_progress() -> None:
    stall = WriteStall(10)
    assert not stall.check(0, 100, 50)
    assert not stall.check(10, 100, 50)
    assert not stall.check(10, 150, 100)
    assert stall.check(10.1, 150, 100)
    assert not stall.check(10.2, 150, 99)
    assert not stall.check(20, 150, 99)
    assert not stall.check(30, 150, 0)
    assert not stall.check(31, 150, 49)
    assert not WriteStall(0).check(1e9, 100, 1)
