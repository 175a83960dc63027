"""Responses: framing, truncation that a client can see, heads that must not reach one."""

import json

import pytest
from edge_kit import Front, get

from dialback_wire.messages import Head, Info, Reason, Refusal, Verdict


async def test_chunks_go_out_as_they_come(front: Front) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    call.head(200, (b"content-type", b"text/event-stream"))
    answer = await client.head()
    assert answer["transfer-encoding"] == "chunked"
    for data in (b"one", b"two", b"x" * 100_000):
        call.stream.write(data)
        got = b""
        while len(got) < len(data):
            got += await client.chunk()
        assert got == data
    call.stream.write(b"")
    call.stream.end(Verdict.OK)
    assert await client.exactly(5) == b"0\r\n\r\n"
    await client.send(get())
    (await front.invoker.call()).answer(b"again")
    assert (await client.answer()).body == b"again"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("HEAD", 404), ("GET", 204), ("GET", 304)])
@pytest.mark.parametrize("body", [b"", b"must not be seen"])
async def test_an_answer_without_a_body_leaves_the_next_one_intact(
    front: Front, method: str, status: int, body: bytes
) -> None:
    client = await front.client(get("/a", method=method) + get("/b"))
    call = await front.invoker.call()
    call.head(status, (b"content-length", b"16"), (b"x-a", b"b"))
    call.stream.write(body)
    call.stream.end(Verdict.OK)
    answer = await client.answer(method.encode())
    assert answer.status == status
    assert ("content-length" in answer) == (status != 204)
    assert "transfer-encoding" not in answer
    (await front.invoker.call()).answer(b"b's own")
    assert (await client.answer()).body == b"b's own"
    assert front.log.codes == ["--", "--"]


async def test_a_function_that_goes_on_after_the_head_of_a_bodyless_answer_is_stopped(front: Front) -> None:
    client = await front.client(get("/a", method="HEAD") + get("/b"))
    call = await front.invoker.call()
    call.head(200, (b"content-type", b"text/event-stream"))
    assert (await client.answer(b"HEAD"))["content-type"] == "text/event-stream"
    await call.until(lambda: call.cancelled == Reason.NO_BODY)
    (await front.invoker.call()).answer(b"b")
    assert (await client.answer()).body == b"b"


async def test_a_failure_after_the_head_of_a_bodyless_answer_closes(front: Front) -> None:
    client = await front.client(get(method="HEAD"))
    call = await front.invoker.call()
    call.head(200)
    call.stream.end(Verdict.ERROR)
    await client.answer(b"HEAD")
    assert await client.rest() == b""
    assert front.log.codes == ["SD"]


async def test_205_has_no_content(front: Front) -> None:
    client = await front.client(get() + get())
    call = await front.invoker.call()
    call.head(205)
    call.stream.end(Verdict.OK)
    assert (await client.answer())["content-length"] == "0"
    call = await front.invoker.call()
    call.head(205, (b"content-length", b"3"))
    assert (await client.answer()).status == 502


async def test_a_short_content_length_is_a_truncation_and_the_next_request_is_not_answered_inside_it(
    front: Front,
) -> None:
    client = await front.client(get("/a") + get("/b"))
    call = await front.invoker.call()
    call.head(200, (b"content-length", b"1000"))
    call.stream.write(b"ten bytes.")
    call.stream.end(Verdict.OK)
    await client.head()
    assert await client.rest() == b"ten bytes."
    assert len(front.invoker.calls) == 1
    assert await front.log.code() == "FD"


async def test_more_than_content_length_is_cut_to_it_and_the_connection_closes(front: Front) -> None:
    client = await front.client(get("/a") + get("/b"))
    call = await front.invoker.call()
    call.head(200, (b"content-length", b"5"))
    for _ in range(80):
        call.stream.write(b"x" * 65536)
    answer = await client.head()
    assert answer["content-length"] == "5"
    assert await client.rest() == b"xxxxx"
    await call.until(lambda: call.cancelled == Reason.OVERFLOW)
    assert len(front.invoker.calls) == 1
    assert await front.log.code() == "PD"


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.OK])
async def test_a_chunked_answer_that_fails_has_no_last_chunk(front: Front, verdict: Verdict) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    call.head(200)
    call.stream.write(b"partial")
    call.stream.end(verdict)
    await client.head()
    assert await client.rest() == b"7\r\npartial\r\n"
    assert (await front.log.code())[1] == "D"


async def test_a_lost_link_after_the_head_is_a_truncation(front: Front) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    call.head(200)
    call.stream.write(b"partial")
    await client.head()
    await client.chunk()
    assert front.upstream is not None
    front.upstream.mux.lost("the wire was cut")
    assert await client.rest() == b""
    assert await front.log.code() == "ID"


async def test_a_lost_link_before_the_head_is_502_and_nothing_is_tried_again(front: Front) -> None:
    client = await front.client(get())
    await front.invoker.call()
    assert front.upstream is not None
    front.upstream.mux.lost("the wire was cut")
    answer = await client.answer()
    assert answer.status == 502
    assert len(front.invoker.calls) == 1
    assert await front.log.code() == "IH"


async def test_a_close_delimited_answer_that_fails_is_reset(front: Front) -> None:
    client = await front.client(get(version="1.0"))
    call = await front.invoker.call()
    call.head(200)
    call.stream.write(b"partial")
    call.stream.end(Verdict.TRUNCATED)
    answer = await client.head()
    assert answer["connection"] == "close"
    assert await client.exactly(7) == b"partial"
    assert await client.is_reset()


async def test_a_close_delimited_answer_that_ends_well_ends_with_fin(front: Front) -> None:
    client = await front.client(get(version="1.0"))
    call = await front.invoker.call()
    call.head(200)
    call.stream.write(b"whole")
    call.stream.end(Verdict.OK)
    assert (await client.answer()).body == b"whole"


@pytest.mark.parametrize(
    ("verdict", "status", "given", "expected", "log"),
    [
        (Verdict.ERROR, 500, "handler_error", "handler_error", "FH"),
        (Verdict.ERROR, 502, "init_error", "init_error", "FL"),
        (Verdict.ERROR, 502, "oom", "oom", "SL"),
        (Verdict.TIMEOUT, 504, "timeout_start", "timeout_start", "sL"),
        (Verdict.TIMEOUT, 504, "receiver_unreachable", "receiver_unreachable", "sW"),
        (Verdict.ERROR, 502, "token_refused", "token_refused", "IW"),
        (Verdict.ERROR, 500, "internal_error", "internal_error", "IH"),
        (Verdict.ERROR, 0, "", "error", "SH"),
        (Verdict.TRUNCATED, 0, "", "truncated", "SH"),
        (Verdict.TIMEOUT, 0, "", "timeout", "sH"),
        (Verdict.OVERLOAD, 0, "", "overload", "RQ"),
        (Verdict.UNAVAILABLE, 0, "", "unavailable", "KQ"),
        (Verdict.ERROR, 404, "no_function", "no_function", "LR"),
        (Verdict.ERROR, 413, "payload_too_large", "payload_too_large", "PR"),
        (Verdict.CANCELLED, 200, "", "cancelled", "KH"),
        (Verdict.ERROR, 599, "odd", "odd", "SH"),
    ],
)
async def test_an_end_before_the_head_is_an_error_page_on_a_connection_that_lives(
    front: Front, verdict: Verdict, status: int, given: str, expected: str, log: str
) -> None:
    default = {Verdict.TIMEOUT: 504, Verdict.OVERLOAD: 503, Verdict.UNAVAILABLE: 503}.get(verdict, 502)
    client = await front.client(get())
    call = await front.invoker.call()
    call.stream.end(verdict, status=status, code=given, detail="the detail", retry_after=7)
    answer = await client.answer()
    assert answer.status == (status if status >= 400 else default)
    assert answer["retry-after"] == "7"
    assert json.loads(answer.body)["error"] == {
        "code": expected,
        "message": "the detail",
        "id": answer["x-dialback-id"],
    }
    assert answer["x-dialback-id"] == call.request.id
    assert front.log.codes == [log]
    await client.send(get())
    (await front.invoker.call()).answer(b"fine")
    assert (await client.answer()).body == b"fine"


@pytest.mark.parametrize(("stops", "code"), [(False, "overloaded"), (True, "stopping")])
async def test_a_refused_stream_is_503_with_retry_after_and_the_reason(front: Front, stops: bool, code: str) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    assert front.upstream is not None
    front.upstream.down = stops
    call.stream.refuse(Refusal.UNAVAILABLE, "going away" if stops else "full")
    answer = await client.answer()
    assert (answer.status, answer["retry-after"], json.loads(answer.body)["error"]["code"]) == (503, "1", code)
    assert await front.log.code() == "RQ"


@pytest.mark.parametrize(
    "head",
    [
        Head(199, ()),
        Head(600, ()),
        Head(101, ()),
        Head(200, ((b"x", b"a\r\nset-cookie: b"),)),
        Head(200, ((b"x", b"a\nb"),)),
        Head(200, ((b"x", b"a\0b"),)),
        Head(200, ((b"x y", b"a"),)),
        Head(200, ((b"x\r\ny", b"a"),)),
        Head(200, ((b"", b"a"),)),
        Head(200, ((b"content-length", b"+5"),)),
        Head(200, ((b"content-length", b"-1"),)),
        Head(200, ((b"content-length", b"5"), (b"content-length", b"5"))),
        Head(200, ((b"content-length", b"5, 5"),)),
        Head(200, ((b"x", b"y"),) * 129),
        Head(200, ((b"x", b"y" * 40_000),) * 2),
    ],
    ids=lambda head: f"{head.status} {head.fields[:2]!r}"[:60],
)
async def test_an_invalid_head_is_502_and_no_byte_of_it_reaches_the_client(front: Front, head: Head) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    call.stream.head(head)
    answer = await client.answer()
    assert answer.status == 502
    assert b"set-cookie" not in answer.head + answer.body
    await call.until(lambda: call.cancelled == Reason.PROTOCOL)
    assert await front.log.code() == "PH"
    await client.send(get())
    (await front.invoker.call()).answer(b"fine")
    assert (await client.answer()).body == b"fine"


async def test_hop_by_hop_and_reserved_fields_of_a_function_are_dropped_all_else_kept_in_order(front: Front) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    call.head(
        301,
        (b"Location", b"/elsewhere"),
        (b"set-cookie", b"a=1"),
        (b"connection", b"x-hop, close"),
        (b"x-hop", b"1"),
        (b"keep-alive", b"timeout=5"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"x-dialback-id", b"forged"),
        (b"x-dialback-anything", b"forged"),
        (b"date", b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (b"set-cookie", b"b=2"),
        (b"x-empty", b""),
    )
    call.stream.end(Verdict.OK)
    answer = await client.answer()
    assert [name for name, _ in answer.fields] == [
        b"location",
        b"set-cookie",
        b"date",
        b"set-cookie",
        b"x-empty",
        b"transfer-encoding",
        b"x-dialback-id",
    ]
    assert answer["x-dialback-id"] == call.request.id
    assert answer["date"].startswith("Thu, 01 Jan 1970")


async def test_an_unusual_status_has_no_reason_phrase(front: Front) -> None:
    client = await front.client(get())
    (await front.invoker.call()).answer(b"x", 299)
    assert (await client.answer()).head.startswith(b"HTTP/1.1 299 \r\n")


async def test_early_hints_are_forwarded_other_interim_answers_are_not(front: Front) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    hint = (b"link", b"</style.css>; rel=preload")
    call.stream.info(Info(100, ()))
    call.stream.info(Info(101, ((b"upgrade", b"websocket"),)))
    call.stream.info(Info(103, (hint, (b"content-length", b"5"), (b"connection", b"close"))))
    call.stream.info(Info(103, ((b"link", b"a\r\nb"),)))
    call.answer(b"done")
    answer = await client.head()
    assert (answer.status, answer.fields) == (103, (hint,))
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"done")


async def test_early_hints_can_be_switched_off_and_never_reach_an_old_client(front: Front) -> None:
    client = await front.client(get(version="1.0"))
    call = await front.invoker.call()
    call.stream.info(Info(103, ((b"link", b"x"),)))
    call.answer(b"done")
    assert (await client.answer()).status == 200


async def test_no_early_hints_when_they_are_off(front: Front) -> None:
    front.settings = {"early_hints": False}
    client = await front.client(get())
    call = await front.invoker.call()
    call.stream.info(Info(103, ((b"link", b"x"),)))
    call.answer(b"done")
    assert (await client.answer()).status == 200


async def test_trailers_reach_a_client_that_takes_them(front: Front) -> None:
    client = await front.client(get("/", "TE: gzip;q=0.5, trailers", "Connection: TE") + get())
    call = await front.invoker.call()
    assert call.header(b"te") is None
    call.head(200, (b"trailer", b"X-Sum, Content-Length, x-dialback-id"))
    call.stream.write(b"data")
    call.stream.trailers(((b"x-sum", b"42"), (b"x-other", b"no"), (b"content-length", b"1")))
    call.stream.end(Verdict.OK)
    answer = await client.answer()
    assert answer["trailer"] == "x-sum"
    assert answer.trailers == b"x-sum: 42\n"
    (await front.invoker.call()).answer(b"next")
    assert (await client.answer()).body == b"next"


@pytest.mark.parametrize(
    ("te", "declared", "trailers"),
    [
        (False, True, ((b"x-sum", b"42"),)),
        (True, False, ((b"x-sum", b"42"),)),
        (True, True, ((b"x-sum", b"4\r\n2"),)),
        (True, True, ()),
    ],
)
async def test_trailers_that_may_not_go_out_are_dropped(
    front: Front, te: bool, declared: bool, trailers: tuple[tuple[bytes, bytes], ...]
) -> None:
    client = await front.client(get("/", *(["TE: trailers"] if te else [])))
    call = await front.invoker.call()
    call.head(200, *([(b"trailer", b"x-sum")] if declared else []))
    if trailers:
        call.stream.trailers(trailers)
    call.stream.end(Verdict.OK)
    answer = await client.answer()
    assert ("trailer" in answer) == (te and declared)
    assert answer.trailers == b""


async def test_an_ok_that_miscounts_is_a_truncation(front: Front) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    call.head(200)
    call.stream.write(b"abc")
    await client.head()
    assert await client.chunk() == b"abc"
    assert front.upstream is not None
    # What a peer with a bug would do: an END whose count is not the sum of its DATA.
    call.stream._outbox.window.sent += 1
    call.stream.end(Verdict.OK)
    assert await client.rest() == b""
    assert await front.log.code() == "PD"
