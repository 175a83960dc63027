"""Clients that leave, stall or dawdle."""

import asyncio

import pytest
from edge_kit import PATIENCE, Front, get

from dialback_wire.messages import Reason, Verdict


@pytest.mark.parametrize("how", ["fin", "half", "rst"])
@pytest.mark.parametrize("when", ["before the head", "after the head"])
async def test_a_client_that_leaves_cancels_its_call(front: Front, how: str, when: str) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    if when == "after the head":
        call.head(200)
        call.stream.write(b"x")
        await client.head()
        await client.chunk()
    {"fin": client.close, "half": client.half_close, "rst": client.reset}[how]()
    await call.until(lambda: call.cancelled == Reason.CLIENT_GONE, 1)
    assert await front.log.code() == ("CD" if when == "after the head" else "CH")
    await call.until(lambda: call.closed)
    assert front.service is not None
    while front.service.connections:
        await asyncio.sleep(0.001)


async def test_a_client_that_leaves_with_all_of_content_length_was_served(front: Front) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    call.head(200, (b"content-length", b"3"))
    call.stream.write(b"all")
    await client.head()
    client.close()
    await call.until(lambda: call.cancelled == Reason.CLIENT_GONE, 1)
    assert await front.log.code() == "--"


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("paused_by", ["the upload", "pipelined requests"])
async def test_a_client_that_leaves_is_noticed_while_reading_is_paused(front: Front, how: str, paused_by: str) -> None:
    front.invoker.reads = False
    front.limits = {"pipelined": 1000}
    if paused_by == "the upload":
        client = await front.client(get("/", "Content-Length: 90000000", method="POST"))
        call = await front.invoker.call()
        # As much as pauses reading, then what fits into the kernel: behind a closed window no FIN gets through.
        await client.send(b"x" * 200_000)
        await call.until(lambda: len(call.body) >= 64 * 1024)
    else:
        client = await front.client(get() + get("/next") * 100)
        call = await front.invoker.call()
    assert front.service is not None
    (connection,) = front.service._context.connections
    while not connection.socket.held:
        await asyncio.sleep(0.001)
    assert call.cancelled is None
    {"fin": client.close, "rst": client.reset}[how]()
    await call.until(lambda: call.cancelled == Reason.CLIENT_GONE, 1)
    assert (await front.log.code())[0] == "C"


async def test_a_client_that_leaves_within_a_head_is_logged(front: Front) -> None:
    client = await front.client(b"GET / HTTP")
    while not (front.service and front.service.connections):
        await asyncio.sleep(0.001)
    client.half_close()
    assert await client.rest() == b""
    assert await front.log.code() == "CR"
    assert front.log.all[0].method == "-"


async def test_a_client_that_resets_within_a_head_is_logged(front: Front) -> None:
    client = await front.client(get()[:20])
    assert front.service is not None
    while not any(c._reader.waiting for c in front.service._context.connections):
        await asyncio.sleep(0.001)
    client.reset()
    assert await front.log.code() == "CR"


async def test_a_client_that_leaves_between_requests_is_no_event(front: Front) -> None:
    client = await front.client(get())
    (await front.invoker.call()).answer(b"x")
    await client.answer()
    client.half_close()
    assert await client.rest() == b""
    assert front.log.codes == ["--"]


async def test_a_slow_head_is_408(front: Front) -> None:
    front.timeouts["head"] = 0.1
    client = await front.client(b"GET / HTTP/1.1\r\n")
    answered = asyncio.ensure_future(client.answer())
    while not answered.done():
        # Each byte is progress; the clock runs from the first byte all the same.
        try:
            await client.send(b"X")
        except (ConnectionResetError, BrokenPipeError):
            break
        await asyncio.sleep(0.02)
    answer = await answered
    assert (answer.status, answer["connection"]) == (408, "close")
    assert await front.log.code() == "cR"
    assert front.invoker.calls == []


async def test_an_idle_connection_is_closed_without_a_word(front: Front) -> None:
    front.timeouts["idle"] = 0.2
    client = await front.client()
    assert await client.rest() == b""
    client = await front.client(get())
    (await front.invoker.call()).answer(b"x")
    await client.answer()
    assert await client.rest() == b""
    assert front.log.codes == ["--"]


async def test_a_running_answer_is_not_idle(front: Front) -> None:
    front.timeouts |= {"idle": 0.2, "head": 0.2, "body": 0.2, "write_stall": 0.2}
    client = await front.client(get())
    call = await front.invoker.call()
    call.head(200)
    await client.head()
    await asyncio.sleep(0.4)
    call.stream.write(b"late")
    assert await client.chunk() == b"late"


async def test_a_slow_reader_gets_everything_while_the_upstream_is_held_back(front: Front) -> None:
    size = 64 * 1024 * 1024
    client = await front.client(get(), receive_buffer=65536)
    call = await front.invoker.call()
    call.head(200, (b"content-length", b"%d" % size))
    written = 0
    piece = bytes(range(256)) * 256
    while written < size and call.stream.queued < 1_000_000:
        call.stream.write(piece)
        written += len(piece)
        await asyncio.sleep(0)
    assert written < size // 4
    assert front.service is not None
    (connection,) = front.service._context.connections
    assert connection.socket._transport.get_write_buffer_size() < 1_000_000
    await client.head()
    received = 0
    while received < size:
        data = await client.exactly(min(size - received, 1_000_000))
        assert data[:256] in piece + piece
        received += len(data)
        while written < size and call.stream.queued < 1_000_000:
            call.stream.write(piece)
            written += len(piece)
        if written == size and not call.closed:
            call.stream.end(Verdict.OK)
    assert await front.log.code() == "--"


async def test_a_client_that_stops_reading_is_cut_at_the_stall_limit(front: Front) -> None:
    front.timeouts["write_stall"] = 0.1
    client = await front.client(get(), receive_buffer=4096)
    call = await front.invoker.call()
    call.head(200)
    for _ in range(200):
        call.stream.write(b"x" * 65536)
    await call.until(lambda: call.cancelled == Reason.CLIENT_GONE)
    assert await front.log.code() == "cD"
    assert await client.is_reset()


async def test_a_client_that_reads_a_little_is_not_stalled(front: Front) -> None:
    front.timeouts["write_stall"] = 0.5
    client = await front.client(get(), receive_buffer=4096)
    call = await front.invoker.call()
    call.head(200)
    for _ in range(200):
        call.stream.write(b"x" * 65536)
    await client.head()
    for _ in range(30):
        await client.exactly(100_000)
        await asyncio.sleep(0.03)
    assert call.cancelled is None


async def test_the_last_bytes_of_an_answer_are_watched_too(front: Front) -> None:
    front.timeouts["write_stall"] = 0.1
    client = await front.client(get(), receive_buffer=4096)
    call = await front.invoker.call()
    size = 12_000_000
    await _fill(front, call, size)
    await front.log.until(lambda: front.log.all)
    assert front.log.codes == ["cD"]
    assert front.log.all[0].status == 200
    assert await client.is_reset()


async def test_a_client_that_leaves_during_the_last_flush_is_logged_as_such(front: Front) -> None:
    client = await front.client(get(), receive_buffer=4096)
    call = await front.invoker.call()
    await _fill(front, call, 12_000_000)
    client.reset()
    assert await front.log.code() == "CE"


async def _fill(front: Front, call: object, size: int) -> None:
    """An answer that is completely handed over while the client has read nothing of it."""
    assert front.service is not None
    front.service._context.settings.limits.__dict__["write_buffer"] = 1
    (connection,) = front.service._context.connections
    connection.socket._transport.set_write_buffer_limits(size * 2, size)
    stream = call.stream  # type: ignore[attr-defined]
    call.head(200, (b"content-length", b"%d" % size))  # type: ignore[attr-defined]
    stream.write(b"x" * (size - 1))
    while stream.queued:
        await asyncio.sleep(0.001)
    while connection.socket._transport.get_write_buffer_size() == 0:
        await asyncio.sleep(0.001)
    connection.socket._transport.set_write_buffer_limits(1, 0)
    stream.write(b"y")
    stream.end(Verdict.OK)
    while connection._exchange is not None:
        await asyncio.sleep(0.001)
    assert connection._late_record is not None


async def test_a_client_that_sends_and_never_reads_gets_no_further_request_started(front: Front) -> None:
    front.limits = {"pipelined": 1000, "write_buffer": 1000}
    front.invoker.handler = lambda call: call.answer(b"x" * 500_000)
    client = await front.client(receive_buffer=4096)
    flood = get("/n") * 1000
    sending = asyncio.ensure_future(client.send(flood))
    await asyncio.gather(sending, return_exceptions=True)
    assert front.service is not None
    (connection,) = front.service._context.connections
    while not connection.write_paused:
        await asyncio.sleep(0.001)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert len(front.invoker.calls) < 100
    assert connection._reader.waiting < 200_000
    started = len(front.invoker.calls)
    for _ in range(started + 5):
        assert len((await client.answer()).body) == 500_000


async def test_many_clients_that_leave_leave_nothing_behind(front: Front) -> None:
    import gc

    from dialback_edge.connection import ClientConnection
    from dialback_edge.exchange import Exchange

    def alive() -> int:
        gc.collect()
        # Not isinstance: it asks lazy objects of other tests what they are.
        return sum(type(thing) in (ClientConnection, Exchange) for thing in gc.get_objects())

    await front.start()
    before = alive()
    for number in range(200):
        client = await front.client(get())
        call = await front.invoker.call()
        if number % 2:
            call.head(200)
            await client.head()
        (client.close if number % 3 else client.reset)()
        await call.until(lambda call=call: call.cancelled is not None)
    assert front.service is not None
    while front.service.connections:
        await asyncio.sleep(0.001)
    front.invoker.calls.clear()
    del client, call
    # Going through every object of a process that has run thousands of tests takes its time.
    async with asyncio.timeout(4 * PATIENCE):
        while alive() > before:
            await asyncio.sleep(0.01)
    assert front.upstream is not None
    assert front.upstream.mux.streams == 0
    assert len(front.log.all) == 200
