"""The graceful end."""

import asyncio
import json

from edge_kit import PATIENCE, Front, get

from dialback_wire.messages import Reason, Verdict


async def test_idle_connections_close_at_once_and_running_answers_end(front: Front) -> None:
    idle = await front.client()
    used = await front.client(get())
    (await front.invoker.call()).answer(b"x")
    await used.answer()
    streaming = await front.client(get("/streaming"))
    stream_call = await front.invoker.call()
    stream_call.head(200)
    assert "connection" not in await streaming.head()
    waiting = await front.client(get("/waiting"))
    wait_call = await front.invoker.call()
    assert front.service is not None
    drain = asyncio.ensure_future(front.service.drain(PATIENCE))
    assert await idle.rest() == b""
    assert await used.rest() == b""
    assert not drain.done()
    wait_call.answer(b"served")
    answer = await waiting.answer()
    assert (answer.body, answer["connection"]) == (b"served", "close")
    assert await waiting.rest() == b""
    stream_call.stream.write(b"rest")
    stream_call.stream.end(Verdict.OK)
    assert await streaming.rest() == b"4\r\nrest\r\n0\r\n\r\n"
    for client in (waiting, streaming):
        client.close()
    assert await drain is True
    assert front.log.codes == ["--"] * 3


async def test_what_outlasts_the_grace_is_cut_so_that_clients_can_tell(front: Front) -> None:
    streaming = await front.client(get())
    stream_call = await front.invoker.call()
    stream_call.head(200)
    stream_call.stream.write(b"some")
    await streaming.head()
    await streaming.chunk()
    old = await front.client(get(version="1.0"))
    old_call = await front.invoker.call()
    old_call.head(200)
    await old.head()
    waiting = await front.client(get())
    wait_call = await front.invoker.call()
    partial = await front.client(b"GET /")
    assert front.service is not None
    assert await front.service.drain(0.05) is False
    assert await streaming.rest() == b""
    assert await old.is_reset()
    answer = await waiting.answer()
    assert (answer.status, answer["retry-after"]) == (503, "1")
    assert await partial.rest() == b""
    for call in (stream_call, old_call, wait_call):
        await call.until(lambda call=call: call.cancelled == Reason.SHUTDOWN)
    assert sorted(front.log.codes) == ["CR", "KD", "KD", "KH"] or sorted(front.log.codes) == ["KD", "KD", "KH"]


async def test_during_the_delay_the_listener_still_serves_and_health_says_503(front: Front) -> None:
    await front.start()
    assert front.service is not None
    drain = asyncio.ensure_future(front.service.drain(PATIENCE, delay=0.3))
    await asyncio.sleep(0)
    answer = await front.ask(get("/_dialback/health"))
    assert (answer.status, json.loads(answer.body)["status"]) == (503, "draining")
    late = await front.client(get())
    (await front.invoker.call()).answer(b"still")
    answer = await late.answer()
    assert (answer.body, answer["connection"]) == (b"still", "close")
    for client in front.clients:
        client.close()
    assert await drain is True
    try:
        await front.client()
    except ConnectionRefusedError:
        pass
    else:
        raise AssertionError("the listener is still open")


async def test_stop_resets_what_runs(front: Front) -> None:
    client = await front.client(get())
    call = await front.invoker.call()
    call.head(200)
    await client.head()
    assert front.service is not None
    await front.service.stop()
    assert await client.is_reset()
    await call.until(lambda: call.cancelled == Reason.SHUTDOWN)


async def test_a_connection_that_discards_a_body_is_drained(front: Front) -> None:
    client = await front.client(get("/", "Content-Length: 100", method="POST"))
    (await front.invoker.call()).answer(b"x")
    await client.answer()
    assert front.service is not None
    drain = asyncio.ensure_future(front.service.drain(PATIENCE))
    assert await client.rest() == b""
    client.close()
    assert await drain is True
