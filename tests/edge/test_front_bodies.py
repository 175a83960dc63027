"""Request bodies, both framings: relayed as they come, bounded, timed, and never ended cleanly unless they were."""

import asyncio

import pytest
from edge_kit import Call, Front, get

from dialback_wire.messages import Reason, Verdict


async def test_bodies_are_relayed_while_they_arrive(front: Front) -> None:
    client = await front.client(get("/", "Content-Length: 10", method="POST"))
    call = await front.invoker.call()
    assert call.request.body_length == 10
    assert call.header(b"content-length") == b"10"
    await client.send(b"01234")
    await call.until(lambda: call.body == b"01234")
    call.head(200)
    call.stream.write(b"early")
    await client.head()
    assert await client.chunk() == b"early"
    await client.send(b"56789")
    await call.until(lambda: call.body_end)
    assert call.body_end is not None
    assert (call.body_end.verdict, bytes(call.body)) == (Verdict.OK, b"0123456789")
    call.stream.end(Verdict.OK)
    assert await client.exactly(5) == b"0\r\n\r\n"
    await client.send(get())
    (await front.invoker.call()).answer(b"next")
    assert (await client.answer()).body == b"next"
    assert front.log.all[0].bytes_in == 10


async def test_a_chunked_body_has_no_length(front: Front) -> None:
    front.invoker.handler = lambda call: call.answer(bytes(call.body))
    client = await front.client(get("/", "Transfer-Encoding: chunked", method="POST", body=b"3\r\nabc\r\n0\r\n\r\n"))
    assert (await client.answer()).body == b"abc"
    request = front.invoker.calls[0].request
    assert request.body_length is None
    assert not [name for name, _ in request.fields if name in (b"content-length", b"transfer-encoding")]


async def test_content_length_zero_is_no_body(front: Front) -> None:
    front.invoker.handler = lambda call: call.answer(b"none")
    client = await front.client(get("/", "Content-Length: 0", method="POST") + get())
    assert (await client.answer()).body == b"none"
    assert (await client.answer()).body == b"none"
    assert front.invoker.calls[0].request.body_length == 0
    assert front.invoker.calls[0].header(b"content-length") == b"0"


async def test_100_continue_is_sent_when_the_upstream_wants_the_body(front: Front) -> None:
    front.timeouts["body"] = 0.3
    client = await front.client(get("/", "Expect: 100-Continue", "Content-Length: 3", method="POST"))
    call = await front.invoker.call()
    assert call.header(b"expect") is None
    # The body's clock does not run while the client waits: that would be long enough for a 408.
    await asyncio.sleep(0.5)
    call.stream.invite()
    assert await client.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    call.stream.invite()
    await client.send(b"abc")
    await call.until(lambda: call.body_end)
    call.answer(b"ok")
    assert (await client.answer()).body == b"ok"


async def test_no_100_continue_to_a_client_that_did_not_wait(front: Front) -> None:
    client = await front.client(get("/", "Expect: 100-continue", "Content-Length: 3", method="POST", body=b"abc"))
    call = await front.invoker.call()
    call.stream.invite()
    await call.until(lambda: call.body_end)
    call.answer(b"ok")
    assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize("by", ["function", "platform", "edge"])
async def test_a_refusal_sends_no_100_and_closes(front: Front, by: str) -> None:
    front.limits = {"body": 100}
    length = 101 if by == "edge" else 3
    client = await front.client(get("/", "Expect: 100-continue", f"Content-Length: {length}", method="POST"))
    if by == "function":
        (await front.invoker.call()).answer(b"no", 403)
    elif by == "platform":
        (await front.invoker.call()).stream.end(Verdict.OVERLOAD)
    answer = await client.answer()
    assert answer.status == {"function": 403, "platform": 503, "edge": 413}[by]
    assert await client.rest() == b""


async def test_http_1_0_has_no_100_continue(front: Front) -> None:
    client = await front.client(get("/", "Expect: 100-continue", "Content-Length: 3", method="POST", version="1.0"))
    call = await front.invoker.call()
    call.stream.invite()
    await client.send(b"abc")
    await call.until(lambda: call.body_end)
    call.answer(b"ok")
    assert (await client.answer()).status == 200


async def test_a_body_over_the_limit_is_413_before_anything_runs(front: Front) -> None:
    front.limits = {"body": 1000}
    answer = await front.ask(get("/", "Content-Length: 1001", method="POST", body=b"x" * 1001))
    assert answer.status == 413
    assert front.invoker.calls == []
    assert await front.log.code() == "PR"


async def test_a_chunked_body_that_grows_over_the_limit_is_413(front: Front) -> None:
    front.limits = {"body": 1000}
    client = await front.client(get("/", "Transfer-Encoding: chunked", method="POST"))
    call = await front.invoker.call()
    await client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    await call.until(lambda: len(call.body) == 1000)
    await client.send(b"1\r\nx\r\n")
    assert (await client.answer()).status == 413
    await call.until(lambda: call.cancelled == Reason.OVERFLOW)
    assert await front.log.code() == "PR"


async def test_a_chunked_body_that_grows_over_the_limit_after_the_head_is_a_truncation(front: Front) -> None:
    front.limits = {"body": 10}
    client = await front.client(get("/", "Transfer-Encoding: chunked", method="POST"))
    call = await front.invoker.call()
    call.head(200)
    await client.head()
    await client.send(b"b\r\n01234567890\r\n")
    assert await client.rest() == b""
    assert await front.log.code() == "PD"


async def test_a_slow_body_is_408(front: Front) -> None:
    front.timeouts["body"] = 0.05
    client = await front.client(get("/", "Content-Length: 1000", method="POST"))
    call = await front.invoker.call()
    for _ in range(3):
        await client.send(b"x")
    answer = await client.answer()
    assert (answer.status, answer["connection"]) == (408, "close")
    await call.until(lambda: call.cancelled == Reason.CLIENT_GONE)
    assert call.body_end is None
    assert await front.log.code() == "cR"


async def test_a_body_that_stops_after_the_head_is_a_truncation(front: Front) -> None:
    front.timeouts["body"] = 0.05
    client = await front.client(get("/", "Content-Length: 1000", method="POST"))
    call = await front.invoker.call()
    call.head(200)
    await client.head()
    assert await client.rest() == b""
    assert await front.log.code() == "cD"


async def test_a_body_with_enough_progress_is_not_slow(front: Front) -> None:
    front.timeouts |= {"body": 0.5, "body_bytes": 2}
    client = await front.client(get("/", "Content-Length: 40", method="POST"))
    call = await front.invoker.call()
    for _ in range(20):
        await client.send(b"xy")
        await asyncio.sleep(0.05)
    await call.until(lambda: call.body_end)
    call.answer(b"ok")
    assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_body_cut_short_is_a_disconnect_for_the_function_and_400_for_who_still_reads(
    front: Front, framing: str
) -> None:
    client = await front.client(get("/", framing, method="POST", body=b"32\r\npart"))
    call = await front.invoker.call()
    client.half_close()
    answer = await client.answer()
    assert answer.status == 400
    await call.until(lambda: call.cancelled == Reason.CLIENT_GONE)
    assert call.body_end is None
    assert await front.log.code() == "CR"


async def test_an_upload_waits_for_the_upstream_in_bounded_memory(front: Front) -> None:
    front.invoker.reads = False
    size = 64 * 1024 * 1024
    client = await front.client(get("/", f"Content-Length: {size}", method="POST"))
    call = await front.invoker.call()
    sending = asyncio.ensure_future(_send_all(client, size))
    await call.until(lambda: len(call.body) >= 64 * 1024)
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert len(call.body) <= 64 * 1024
    assert not sending.done()
    assert front.service is not None
    (connection,) = front.service._context.connections
    assert connection._reader.waiting == 0
    assert connection._exchange is not None
    assert connection._exchange._stream is not None
    assert connection._exchange._stream.queued < 512 * 1024
    call.read_on()
    await sending
    await call.until(lambda: call.body_end)
    assert len(call.body) == size
    call.answer(b"ok")
    assert (await client.answer()).body == b"ok"


async def _send_all(client: object, size: int) -> None:
    piece = b"x" * 65536
    loop = asyncio.get_running_loop()
    for _ in range(size // len(piece)):
        await loop.sock_sendall(client.sock, piece)  # type: ignore[attr-defined]


async def test_an_answer_before_the_end_of_a_small_upload_keeps_the_connection(front: Front) -> None:
    client = await front.client(get("/", "Content-Length: 1000", method="POST", body=b"x" * 10))
    (await front.invoker.call()).answer(b"enough", 200)
    assert (await client.answer()).body == b"enough"
    await client.send(b"x" * 990 + get("/next"))
    (await front.invoker.call()).answer(b"next")
    assert (await client.answer()).body == b"next"


async def test_an_answer_before_the_end_of_a_chunked_upload_keeps_the_connection_when_little_follows(
    front: Front,
) -> None:
    client = await front.client(get("/", "Transfer-Encoding: chunked", method="POST", body=b"3\r\nabc\r\n"))
    (await front.invoker.call()).stream.end(Verdict.ERROR, status=500)
    assert (await client.answer()).status == 500
    await client.send(b"0\r\n\r\n" + get("/next"))
    (await front.invoker.call()).answer(b"next")
    assert (await client.answer()).body == b"next"


async def test_an_answer_before_the_end_of_a_large_upload_is_whole_then_the_connection_closes(front: Front) -> None:
    front.limits = {"linger": 10_000_000}
    size = 5_000_000
    client = await front.client(get("/", f"Content-Length: {size}", method="POST"))
    call = await front.invoker.call()
    call.answer(b"enough" * 10_000)
    sending = asyncio.ensure_future(_send_some(client, size))
    answer = await client.answer()
    assert answer.body == b"enough" * 10_000
    assert await client.rest() == b""
    await sending


async def _send_some(client: object, size: int) -> None:
    try:
        await _send_all(client, size)
    except (ConnectionResetError, BrokenPipeError):
        pass


@pytest.mark.parametrize("framing", ["Content-Length: 900000000", "Transfer-Encoding: chunked"])
async def test_what_is_read_after_the_last_answer_is_bounded(front: Front, framing: str) -> None:
    front.limits = {"linger": 100_000}
    client = await front.client(get("/", framing, method="POST"))
    (await front.invoker.call()).answer(b"enough")
    assert (await client.answer()).body == b"enough"
    loop = asyncio.get_running_loop()
    data = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        await loop.sock_sendall(client.sock, data * 1000)


@pytest.mark.parametrize("framing", ["Content-Length: 900000000", "Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_how_long_is_read_after_the_last_answer_is_bounded(front: Front, framing: str) -> None:
    front.timeouts["linger"] = 0.05
    client = await front.client(get("/", framing, method="POST"))
    (await front.invoker.call()).answer(b"enough")
    assert (await client.answer()).body == b"enough"
    assert await client.rest() == b""
    assert front.service is not None
    while front.service.connections:
        await asyncio.sleep(0.01)


async def test_a_broken_rest_of_an_unwanted_body_closes(front: Front) -> None:
    client = await front.client(get("/", "Transfer-Encoding: chunked", method="POST"))
    (await front.invoker.call()).answer(b"enough")
    assert (await client.answer()).body == b"enough"
    await client.send(b"nonsense\r\n" + get("/next"))
    assert await client.rest() == b""
    assert len(front.invoker.calls) == 1


async def test_a_body_over_the_limit_within_its_last_piece_leaves_the_connection_in_order(front: Front) -> None:
    front.limits = {"body": 5}
    body = b"6\r\n012345\r\n0\r\n\r\n"
    client = await front.client(get("/", "Transfer-Encoding: chunked", method="POST", body=body) + get("/next"))
    assert (await client.answer()).status == 413
    assert front.log.codes == ["PR"]


async def test_the_upload_of_a_finished_call_is_not_held_back(front: Front) -> None:
    front.invoker.reads = False
    size = 300_000
    front.limits = {"discard": 1_000_000}
    client = await front.client(get("/", f"Content-Length: {size}", method="POST"))
    call = await front.invoker.call()
    await client.send(b"x" * 290_000)
    await call.until(lambda: len(call.body) >= 64 * 1024)

    def end(call: Call) -> None:
        call.answer(b"done")

    end(call)
    assert (await client.answer()).body == b"done"
    await client.send(b"x" * 10_000 + get("/next"))
    (await front.invoker.call()).answer(b"next")
    assert (await client.answer()).body == b"next"
