"""The runtime API's client, and the HTTP under it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from dialback_bridge import runtime_client
from dialback_bridge.entry import Kind
from dialback_bridge.http_connection import MAX_HEAD, HttpGone
from dialback_bridge.http_pool import HttpPool, connect_tcp, connect_unix
from dialback_bridge.runtime_client import Failure, PlatformGone
from dialback_bridge.worker import MAX_POLLS

from .fakes import BOUND, SECRET, Platform, http_event


def get(path: str) -> bytes:
    return b"GET %b HTTP/1.1\r\n\r\n" % path.encode()


def post(path: str, body: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)


NEXT = b"Lambda-Runtime-Aws-Request-Id: abc\r\n"


@asynccontextmanager
async def raw(*answers: bytes | None, cut: int = 0) -> AsyncIterator[tuple[HttpPool, list[bytes]]]:
    """A server that gives these answers, one a request, a byte at a time when `cut`; None closes the connection."""
    requests: list[bytes] = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"ontent-Length: " in head:
                    head += await reader.readexactly(int(head.split(b"ontent-Length: ")[1].split(b"\r\n")[0]))
                requests.append(head)
                answer = left.pop(0)
                if answer is None:
                    break
                for at in range(0, len(answer), cut or len(answer) or 1):
                    writer.write(answer[at : at + cut] if cut else answer)
                    await asyncio.sleep(0)
                if b"Connection: close" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = HttpPool(lambda: connect_tcp("127.0.0.1", port))
    try:
        yield pool, requests
    finally:
        pool.close()
        server.close()


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\ncontent-length:5\r\n\r\nhello",
    ],
)
async def test_an_answer_is_understood_however_it_is_framed_and_cut(answer: bytes, cut: int) -> None:
    async with raw(answer, answer, cut=cut) as (pool, requests):
        for _ in range(2):
            got = await asyncio.wait_for(pool.request(get("/x")), BOUND)
            assert (got.status, got.body) == (200, b"hello")
    assert requests == [get("/x")] * 2


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    answer = b"HTTP/1.0 200 OK\r\n\r\nhello"
    async with raw(answer) as (pool, _):
        assert (await asyncio.wait_for(pool.request(get("/")), BOUND)).body == b"hello"


async def test_an_answer_without_content_has_none() -> None:
    async with raw(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n") as (pool, _):
        assert (await asyncio.wait_for(pool.request(get("/")), BOUND)).body == b""


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
    ],
)
async def test_what_is_not_http_or_ends_too_early_is_an_error(answer: bytes) -> None:
    async with raw(answer) as (pool, requests):
        with pytest.raises(HttpGone):
            await asyncio.wait_for(pool.request(get("/")), BOUND)
    assert len(requests) == 1


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced() -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with raw(ok, None, ok) as (pool, requests):
        await pool.request(post("/", b"one"), leads=True)
        await asyncio.wait_for(pool.request(post("/", b"two"), leads=True), BOUND)
    assert [request[-3:] for request in requests] == [b"one", b"two", b"two"]


async def test_an_answer_that_nobody_asked_for_closes_the_connection() -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with raw(ok + b"HTTP/1.1 408 x\r\n\r\n", ok) as (pool, requests):
        await pool.request(get("/"))
        await asyncio.wait_for(pool.request(get("/")), BOUND)
    assert len(requests) == 2


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def turns(count: int = 3) -> None:
    """Let tasks that are ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_patient_request_follows_the_next_post_on_its_connection() -> None:
    async with raw(OK, OK, OK) as (pool, requests):
        await pool.request(get("/first"))
        patient = asyncio.ensure_future(pool.request(get("/patient"), patient=True))
        await turns()
        assert (pool.patient, len(requests)) == (1, 1)
        await asyncio.wait_for(pool.request(post("/post", b"x"), leads=True), BOUND)
        assert (await asyncio.wait_for(patient, BOUND)).status == 200
        assert pool.patient == 0
    assert [request.split()[1] for request in requests] == [b"/first", b"/post", b"/patient"]


async def test_a_patient_request_can_be_hurried_and_given_up() -> None:
    async with raw(OK) as (pool, requests):
        hurried = asyncio.ensure_future(pool.request(get("/hurried"), patient=True))
        await turns()
        pool.hurry()
        assert (await asyncio.wait_for(hurried, BOUND)).status == 200
        given_up = asyncio.ensure_future(pool.request(get("/given-up"), patient=True))
        await turns()
        given_up.cancel()
        await asyncio.wait([given_up], timeout=BOUND)
        assert (given_up.cancelled(), pool.patient) == (True, 0)
    assert len(requests) == 1


async def test_to_give_up_a_follower_does_not_cut_off_the_answer_before_it() -> None:
    go_on = asyncio.Event()
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"/patient HTTP/1.1\r\n\r\n")
        await go_on.wait()
        writer.write(OK)
        with suppress(ConnectionError):
            while await reader.read(1024):
                pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool = HttpPool(lambda: connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1]))
    try:
        patient = asyncio.ensure_future(pool.request(get("/patient"), patient=True))
        await turns()
        posted = asyncio.ensure_future(pool.request(post("/post", b"x"), leads=True))
        while pool.patient:
            await turns()
        patient.cancel()
        await asyncio.wait([patient], timeout=BOUND)
        go_on.set()
        assert (await asyncio.wait_for(posted, BOUND)).status == 200
        await asyncio.wait_for(closed.wait(), BOUND)
    finally:
        server.close()


@pytest.mark.parametrize("first", [b"HTTP/1.1 400 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", None])
async def test_a_follower_whose_connection_ends_before_its_turn_is_sent_again(first: bytes | None) -> None:
    async with raw(OK, first, *[OK] * (2 if first is None else 1)) as (pool, requests):
        await pool.request(get("/first"))
        patient = asyncio.ensure_future(pool.request(get("/patient"), patient=True))
        await turns()
        status = (await asyncio.wait_for(pool.request(post("/post", b"x"), leads=True), BOUND)).status
        assert status == (200 if first is None else 400)
        assert (await asyncio.wait_for(patient, BOUND)).status == 200
    assert sorted(request.split()[1] for request in requests) == sorted(
        [b"/first", b"/post", b"/patient", *([b"/post"] if first is None else [])]
    )


async def test_nobody_there_is_an_error() -> None:
    pool = HttpPool(lambda: connect_tcp("127.0.0.1", 1))
    with pytest.raises(HttpGone, match="cannot connect"):
        await pool.request(get("/"))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a/../b\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_an_answer_to_next_that_is_unusable_means_that_the_platform_is_gone(answer: bytes) -> None:
    async with raw(answer) as (pool, _):
        client = runtime_client.RuntimeClient(pool, "h", None)
        with pytest.raises(PlatformGone):
            await client.next()


async def test_what_next_says_is_understood() -> None:
    head = (
        NEXT + b"Lambda-Runtime-Deadline-Ms: 123\r\nLambda-Runtime-Invoked-Function-Arn: arn\r\nContent-Length: 2\r\n"
    )
    no_deadline = NEXT + b"Lambda-Runtime-Deadline-Ms: 0\r\nContent-Length: 2\r\n"
    async with raw(*[b"HTTP/1.1 200 OK\r\n" + each + b"\r\n{}" for each in (head, no_deadline)]) as (pool, requests):
        client = runtime_client.RuntimeClient(pool, "h", None)
        first, second = await client.next(), await client.next()
    assert first is not None
    assert second is not None
    assert (first.id, first.deadline_ms, first.function_arn, first.event) == ("abc", 123, "arn", b"{}")
    assert second.deadline_ms is None
    assert b"Authorization" not in requests[0], "AWS's own runtime API asks for no secret"


async def test_an_errors_type_cannot_break_the_request(bench: Platform) -> None:
    client = runtime_client.connect(SECRET, bench.runtime_path, None)
    await client.fail("id", Failure("Bad\r\nX-Injected: 1", "text \udc80"))
    assert bench.runtime.outcomes["id"].body["errorMessage"]
    client.close()
    with pytest.raises(ValueError):
        runtime_client.connect(None, None, None)


async def test_the_polls_never_exceed_the_free_slots(bench: Platform) -> None:
    go_on = asyncio.Event()

    async def handler(event, context):
        await go_on.wait()
        return "x"

    await bench.serve(handler, Kind.LAMBDA, concurrency=3)
    await bench.runtime.changes.until(lambda: bench.runtime.polls == 3)
    calls = [bench.invoke() for _ in range(4)]
    await bench.receiver.changes.until(lambda: sum(call.relay.stream is not None for call in calls) == 3)
    assert (bench.runtime.polls, bench.runtime.most_polls) == (0, 3)
    go_on.set()
    for call in calls:
        assert await call.verdict() == "ok"


async def test_a_poll_leaves_with_the_answer_to_an_invocation(bench: Platform) -> None:
    go_on = asyncio.Event()

    async def handler(event, context):
        await go_on.wait()
        return "x"

    await bench.serve(handler, Kind.LAMBDA, concurrency=10)
    await bench.runtime.changes.until(lambda: bench.runtime.polls == MAX_POLLS)
    calls = [bench.invoke() for _ in range(2)]
    await bench.receiver.changes.until(lambda: all(call.relay.stream is not None for call in calls))
    assert bench.runtime.polls == MAX_POLLS - 2
    go_on.set()
    for call in calls:
        assert await call.verdict() == "ok"
    await bench.runtime.changes.until(lambda: bench.runtime.polls == MAX_POLLS)


async def test_a_worker_that_is_retired_finishes_what_runs(bench: Platform) -> None:
    go_on, running = asyncio.Event(), asyncio.Event()

    async def handler(event, context):
        running.set()
        await go_on.wait()
        return "finished"

    await bench.serve(handler, Kind.LAMBDA, concurrency=1)
    call = bench.invoke()
    await asyncio.wait_for(running.wait(), BOUND)
    bench.runtime.retire()
    go_on.set()
    assert bench.serving is not None
    await asyncio.wait_for(bench.serving, BOUND)
    assert (await call.outcome()).kind == "response"
    assert call.relay.body == b"finished"


async def test_one_410_retires_all_polls(bench: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialback_bridge.worker.LAST_POLL_TIME", 0.01)
    await bench.serve(lambda event, context: "x", Kind.LAMBDA)
    bench.runtime.waiting.put_nowait(None)
    assert bench.serving is not None
    await asyncio.wait_for(bench.serving, BOUND)


async def test_a_platform_that_is_gone_ends_the_worker_and_what_it_runs(bench: Platform) -> None:
    seen: list[str] = []
    running = asyncio.Event()

    async def handler(event, context):
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("finally")

    await bench.serve(handler, Kind.LAMBDA)
    call = bench.invoke()
    await asyncio.wait_for(running.wait(), BOUND)
    await bench.runtime.stop()
    assert bench.serving is not None
    with pytest.raises(PlatformGone):
        await asyncio.wait_for(bench.serving, BOUND)
    assert seen == ["finally"]
    assert (await call.relay.ended()).code == "shutdown"


async def test_a_second_request_to_retire_gives_up_what_runs(bench: Platform) -> None:
    running = asyncio.Event()

    async def app(scope, receive, send):
        running.set()
        await asyncio.Event().wait()

    await bench.serve(app)
    call = bench.invoke(http_event())
    await asyncio.wait_for(running.wait(), BOUND)
    assert bench.worker is not None
    assert bench.serving is not None
    bench.worker.retire()
    bench.worker.retire()
    await asyncio.wait_for(bench.serving, BOUND)
    assert await call.verdict() == "cancelled"


async def test_a_wrong_secret_is_the_end(bench: Platform) -> None:
    client = runtime_client.connect("wrong", bench.runtime_path, None)
    with pytest.raises(PlatformGone, match="403"):
        await client.next()
    assert bench.runtime.unauthorized == 1


async def test_a_runtime_api_that_has_not_accepted_yet_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "full.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        listener.setblocking(False)
        connecting = [asyncio.create_task(connect_unix(str(path))) for _ in range(5)]
        _, waiting = await asyncio.wait(connecting, timeout=0.1)
        assert waiting, "more than the listener's queue holds"
        loop = asyncio.get_running_loop()
        accepted = [(await asyncio.wait_for(loop.sock_accept(listener), BOUND))[0] for _ in range(5)]
        for connection in await asyncio.wait_for(asyncio.gather(*connecting), BOUND):
            connection.close()
        for each in accepted:
            each.close()
