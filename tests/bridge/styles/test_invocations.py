"""What code knows of its invocation, and what it leaves to be done behind the response."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.bridge.fakes import Platform, http_event

import dialback_bridge
from dialback_bridge import NoInvocation, current_invocation, wait_until
from dialback_bridge.testing import TestClient

BOUND = 30.0


@pytest.fixture
def serve() -> Iterator[Any]:
    clients: list[TestClient] = []

    def make(target: Any, **options: Any) -> TestClient:
        clients.append(TestClient(target, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_an_invocation_has_an_id_and_a_deadline(serve) -> None:
    async def fetch(request: Any) -> Any:
        now = current_invocation()
        assert now.deadline is not None
        assert now.remaining() is not None
        assert now.id in repr(now)
        return {"id": now.id, "deadline": now.deadline, "remaining": now.remaining(), "gone": now.is_disconnected}

    before = time.time()
    seen = serve(fetch, deadline=5).get("/").json()
    assert len(seen["id"]) == 26
    assert before + 4.9 < seen["deadline"] < time.time() + 5
    assert 0 < seen["remaining"] <= 5
    assert seen["gone"] is False


def test_without_a_time_limit_there_is_no_deadline(serve) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        now = current_invocation()
        return [repr((now.deadline, now.remaining())).encode()]

    assert serve(app).get("/").text == "(None, None)"


def test_outside_of_an_invocation_there_is_none() -> None:
    with pytest.raises(NoInvocation):
        current_invocation()
    with pytest.raises(NoInvocation):
        wait_until(print)


def test_the_signal_that_the_client_left_can_be_awaited(serve) -> None:
    told = threading.Event()

    async def fetch(request: Any) -> Any:
        gone = current_invocation().disconnected
        assert not await gone.wait(timeout=0.01)
        yield "here"
        if await gone.wait():
            told.set()

    with serve(fetch).stream("GET", "/") as response:
        assert response.read_chunk()
        response.leave()
        assert told.wait(BOUND)


def test_and_waited_for_in_a_thread_and_on_another_loop(serve) -> None:
    told = []

    def fetch(request: Any) -> Any:
        yield "here"
        told.append(current_invocation().disconnected.wait())

        async def elsewhere() -> None:
            told.append(await current_invocation().disconnected.wait())

        asyncio.run(elsewhere())
        told.append(current_invocation().is_disconnected)

    with serve(fetch).stream("GET", "/") as response:
        assert response.read_chunk()
        response.leave()
        response.wait_over()
    assert told == [True, True, True]


def test_a_complete_response_has_no_client_to_lose(serve) -> None:
    told = []

    async def watch() -> None:
        told.append(await current_invocation().disconnected.wait())

    async def fetch(request: Any) -> Any:
        wait_until(watch())
        return "done"

    serve(fetch).get("/")
    assert told == [False]


def test_the_client_has_its_response_before_the_background_work_is_done(serve) -> None:
    go_on, done = threading.Event(), threading.Event()

    async def work() -> None:
        await asyncio.to_thread(go_on.wait, BOUND)
        done.set()

    async def fetch(request: Any) -> Any:
        wait_until(work())
        return "now"

    with serve(fetch).stream("GET", "/") as response:
        assert response.read() == b"now"
        assert not done.is_set()
        go_on.set()
        response.wait_over()
        assert done.is_set()


def test_functions_are_called_in_a_thread_and_synchronous_code_may_ask_for_it(serve) -> None:
    threads: list[int] = []

    def work() -> Any:
        threads.append(threading.get_ident())

        async def more() -> None:
            threads.append(threading.get_ident())

        return more()

    def fetch(request: Any) -> Any:
        threads.append(threading.get_ident())
        wait_until(work)
        return "x"

    assert serve(fetch).get("/").verdict == "ok"
    assert len(set(threads)) == 3


def test_what_background_work_raises_is_logged_with_its_traceback(serve) -> None:
    async def work() -> None:
        raise ValueError("behind the response")

    async def fetch(request: Any) -> Any:
        wait_until(work())
        return "x"

    client = serve(fetch)
    assert client.get("/").verdict == "ok"
    assert client.log[0] == "work given to wait_until failed"
    assert client.log[-1] == "ValueError: behind the response"


def test_background_work_is_cancelled_at_the_deadline(serve) -> None:
    cancelled = threading.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fetch(request: Any) -> Any:
        wait_until(work())
        return "x"

    client = serve(fetch, deadline=1.0)
    assert client.get("/").verdict == "ok"
    assert cancelled.is_set()
    assert "was cancelled" in client.log[-1]


def test_background_work_goes_on_when_the_client_leaves(serve) -> None:
    go_on, done = threading.Event(), threading.Event()

    async def work() -> None:
        await asyncio.to_thread(go_on.wait, BOUND)
        done.set()

    async def fetch(request: Any) -> Any:
        wait_until(work())
        yield "here"
        await asyncio.Event().wait()

    with serve(fetch, cancel_grace=0.01).stream("GET", "/") as response:
        assert response.read_chunk()
        response.leave()
        go_on.set()
        assert response.wait_over() == "cancelled"
    assert done.is_set()


def test_nothing_can_be_added_when_the_invocation_is_over(serve) -> None:
    kept: list[Any] = []

    async def never() -> None:
        raise AssertionError

    async def fetch(request: Any) -> Any:
        import contextvars

        kept.append(contextvars.copy_context())
        with pytest.raises(TypeError, match="an awaitable or a function"):
            wait_until(3)  # type: ignore[arg-type]
        return "x"

    client = serve(fetch)
    client.get("/")
    with pytest.raises(RuntimeError, match="the invocation is over"):
        kept[0].run(wait_until, never())


async def test_a_runtime_that_only_returns_whole_values_waits_for_it(bench: Platform) -> None:
    order = []

    async def work() -> None:
        await asyncio.sleep(0)
        order.append("worked")

    async def handler(event: Any, context: Any) -> Any:
        wait_until(work())
        return {"statusCode": 200, "body": "x"}

    await bench.serve(handler, dialback_bridge.entry.Kind.LAMBDA)
    outcome = await bench.invoke_buffered(http_event())
    assert (outcome.body["statusCode"], order) == (200, ["worked"])


async def test_a_worker_that_has_to_stop_gives_up_background_work(bench: Platform) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        wait_until(work())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    await bench.serve(app)
    call = bench.invoke()
    await call.relay.ended()
    await asyncio.wait_for(begun.wait(), BOUND)
    assert bench.worker is not None
    bench.worker.retire()
    bench.worker.retire()
    await asyncio.wait_for(cancelled.wait(), BOUND)
    assert await call.verdict() == "ok"


def test_the_package_gives_its_names_when_they_are_asked_for() -> None:
    assert set(dialback_bridge.__all__) <= set(dir(dialback_bridge))
    for name in dialback_bridge.__all__:
        assert getattr(dialback_bridge, name) is not None
    with contextlib.suppress(AttributeError):
        raise AssertionError(dialback_bridge.nonsense)
