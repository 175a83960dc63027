"""Dialling back: once or each time, refused or unreachable, and only where the launch configuration says."""

import asyncio
import os
import socket
from typing import Any

import pytest

from dialback_bridge.callback_url import AllowList, CallbackNotAllowed, Target, parse_target
from dialback_bridge.patience import Patience
from dialback_bridge.receiver_socket import DialFailed, dial
from dialback_wire.messages import Refusal, Verdict

from .fakes import BOUND, FakeReceiver, Platform

START = {"type": "http.response.start", "status": 200, "headers": []}


class Counting:
    """An application that counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        self.calls += 1
        await self.go_on.wait()
        await send(START)
        await send({"type": "http.response.body", "body": b"ok"})


async def test_the_upgrade_is_as_plain_as_it_can_be(bench: Platform) -> None:
    await bench.serve(Counting())
    call = bench.invoke()
    await call.relay.ended()
    (headers,) = bench.receiver.upgrades
    assert headers["Authorization"] == f"Bearer {call.token}"
    assert headers["Sec-WebSocket-Protocol"] == "dialback.1"
    assert headers["Host"] == f"127.0.0.1:{bench.receiver.port}"
    assert not {"Origin", "Sec-WebSocket-Extensions", "Cookie"} & set(headers)


async def test_a_kept_socket_is_dialled_once_and_shared_by_the_first_invocations(bench: Platform) -> None:
    bench.receiver.before_upgrade = asyncio.Event()
    await bench.serve(Counting())
    calls = [bench.invoke() for _ in range(8)]
    await bench.runtime.changes.until(lambda: bench.runtime.waiting.empty() and bench.runtime.polls)
    bench.receiver.before_upgrade.set()
    for call in calls:
        assert (await call.relay.ended()).verdict is Verdict.OK
    later = bench.invoke()
    await later.relay.ended()
    assert bench.receiver.sockets == 1


async def test_each_dials_for_each_and_closes_behind_it(bench: Platform) -> None:
    await bench.serve(Counting(), keep=False)
    for number in range(3):
        call = bench.invoke()
        assert await call.verdict() == "ok"
        assert bench.receiver.sockets == number + 1
    await bench.receiver.changes.until(lambda: not bench.receiver.live)


async def test_a_receiver_on_this_machine_is_a_unix_socket_without_an_upgrade(bench: Platform) -> None:
    bench.local = True
    await bench.serve(Counting())
    for _ in range(2):
        assert (await bench.invoke().relay.ended()).verdict is Verdict.OK
    assert (bench.receiver.sockets, bench.receiver.upgrades) == (1, [])


async def test_a_socket_that_died_is_dialled_anew(bench: Platform) -> None:
    await bench.serve(Counting())
    await bench.invoke().relay.ended()
    for live in list(bench.receiver.live):
        await live.close()
    await bench.receiver.changes.until(lambda: not bench.receiver.live)
    assert (await bench.invoke().relay.ended()).verdict is Verdict.OK
    assert bench.receiver.sockets == 2


async def test_a_socket_that_dies_before_the_token_was_accepted_is_dialled_anew(bench: Platform) -> None:
    application = Counting()
    await bench.serve(application)
    await bench.invoke().relay.ended()
    call = bench.invoke()
    call.relay.silent = True
    await call.relay.until(lambda: call.relay.stream)
    call.relay.stream, call.relay.silent = None, False
    for live in list(bench.receiver.live):
        await live.close()
    assert (await call.relay.ended()).verdict is Verdict.OK
    assert application.calls == 2


async def test_a_receiver_that_goes_away_gets_no_new_streams_and_the_open_ones_finish(bench: Platform) -> None:
    application = Counting()
    await bench.serve(application)
    application.go_on.clear()
    old = bench.invoke()
    await bench.receiver.changes.until(lambda: old.relay.stream)
    (live,) = bench.receiver.live
    bench.receiver.muxes[0].go_away("draining")
    new = bench.invoke()
    await bench.receiver.changes.until(lambda: new.relay.stream)
    assert bench.receiver.sockets == 2
    application.go_on.set()
    assert (await new.relay.ended()).verdict is Verdict.OK
    assert (await old.relay.ended()).verdict is Verdict.OK
    await bench.receiver.changes.until(lambda: live not in bench.receiver.live)


async def test_a_full_receiver_is_dialled_anew_once(bench: Platform) -> None:
    application = Counting()
    await bench.serve(application)
    await bench.invoke().relay.ended()
    full = bench.invoke()
    full.relay.refuse_with = Refusal.UNAVAILABLE
    assert (await full.outcome()).body["errorType"] == "Dialback.CallbackRefused"
    assert (application.calls, bench.receiver.sockets) == (1, 2)


async def test_a_socket_that_was_silent_for_long_is_asked_before_it_is_trusted(bench: Platform) -> None:
    await bench.serve(Counting())
    await bench.invoke().relay.ended()
    bench.now += 21
    assert (await bench.invoke().relay.ended()).verdict is Verdict.OK
    assert bench.receiver.sockets == 1, "it answered"


async def test_a_socket_that_was_frozen_to_death_is_replaced(bench: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialback_bridge.receivers.PING_TIME", 0.01)
    await bench.serve(Counting())
    await bench.invoke().relay.ended()
    bench.receiver.muxes[0].receive = lambda data: None  # type: ignore[method-assign]
    bench.now += 21
    assert (await bench.invoke().relay.ended()).verdict is Verdict.OK
    assert bench.receiver.sockets == 2


@pytest.mark.parametrize("refusal", [Refusal.UNAUTHORIZED, Refusal.CONFLICT, Refusal.GONE])
async def test_a_refused_token_means_that_the_handler_is_not_called(bench: Platform, refusal: Refusal) -> None:
    application = Counting()
    await bench.serve(application)
    call = bench.invoke()
    call.relay.refuse_with = refusal
    outcome = await call.outcome()
    assert (outcome.kind, outcome.body["errorType"]) == ("error", "Dialback.CallbackRefused")
    assert call.token not in str(outcome.body)
    assert application.calls == 0
    assert await bench.invoke().verdict() == "ok"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "Dialback.CallbackRefused"), (410, "Dialback.CallbackRefused"), (302, "Dialback.CallbackUnreachable")],
)
async def test_an_upgrade_that_is_not_granted_is_not_tried_elsewhere(bench: Platform, status: int, kind: str) -> None:
    application = Counting()
    bench.receiver.upgrade_status = status
    await bench.serve(application)
    outcome = await bench.invoke().outcome()
    assert (outcome.kind, outcome.body["errorType"]) == ("error", kind)
    assert str(status) in outcome.body["errorMessage"]
    assert (application.calls, len(bench.receiver.upgrades)) == (0, 1)


async def test_another_invocations_refused_token_is_not_held_against_the_rest(bench: Platform) -> None:
    bench.receiver.upgrade_status = 401
    bench.receiver.before_upgrade = asyncio.Event()
    await bench.serve(Counting())
    calls = [bench.invoke() for _ in range(3)]
    await bench.runtime.changes.until(lambda: bench.runtime.waiting.empty() and bench.runtime.polls)
    bench.receiver.before_upgrade.set()
    for call in calls:
        assert (await call.outcome()).body["errorType"] == "Dialback.CallbackRefused"
    assert sorted(h["Authorization"] for h in bench.receiver.upgrades) == sorted(f"Bearer {c.token}" for c in calls)


async def test_a_receiver_that_is_not_there_is_unreachable(bench: Platform) -> None:
    application = Counting()
    await bench.serve(application)
    await bench.receiver.stop()
    outcome = await bench.invoke().outcome()
    assert outcome.body["errorType"] == "Dialback.CallbackUnreachable"
    assert application.calls == 0


@pytest.mark.parametrize("stage", ["upgrade", "greeting", "accept"])
async def test_a_receiver_that_says_nothing_is_given_up(bench: Platform, stage: str) -> None:
    application = Counting()
    if stage == "upgrade":
        bench.receiver.before_upgrade = asyncio.Event()
    bench.receiver.greets = stage != "greeting"
    await bench.serve(application, dial_timeout=0.2)
    call = bench.invoke()
    call.relay.silent = stage == "accept"
    outcome = await call.outcome()
    assert outcome.body["errorType"] == "Dialback.CallbackUnreachable"
    assert "did not answer within 0.2 s" in outcome.body["errorMessage"]
    assert application.calls == 0
    if bench.receiver.before_upgrade is not None:
        bench.receiver.before_upgrade.set()


async def test_a_kept_socket_on_which_no_token_is_accepted_is_given_up_in_time(bench: Platform) -> None:
    application = Counting()
    await bench.serve(application, dial_timeout=1.0)
    assert await bench.invoke().verdict() == "ok"
    calls = [bench.invoke() for _ in range(2)]
    for call in calls:
        call.relay.silent = True
    for call in calls:
        assert "did not answer within 1 s" in (await call.outcome()).body["errorMessage"]
        assert (await call.relay.ended()).code == "dial_timeout"
    assert await bench.invoke().verdict() == "ok"
    assert (application.calls, bench.receiver.sockets) == (2, 1)


async def test_many_waits_share_one_time_out() -> None:
    loop = asyncio.get_running_loop()
    patience = Patience(0.05)
    futures: list[asyncio.Future[None]] = [loop.create_future() for _ in range(3)]
    waits = [asyncio.ensure_future(patience.wait(future)) for future in futures]
    await asyncio.sleep(0)
    futures[0].set_result(None)
    results = await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), BOUND)
    assert [type(result) for result in results] == [type(None), asyncio.TimeoutError, asyncio.TimeoutError]
    again = loop.create_future()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(patience.wait(again), BOUND)
    patience.close()


async def test_a_socket_lost_while_streaming_is_a_disconnect_for_the_application(bench: Platform) -> None:
    seen: list[Any] = []

    async def app(scope, receive, send):
        await receive()
        await send(START)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        seen.append(await receive())

    await bench.serve(app)
    call = bench.invoke()
    await call.relay.until(lambda: call.relay.parts)
    for live in list(bench.receiver.live):
        await live.close()
    assert await call.verdict() == "truncated"
    assert seen == [{"type": "http.disconnect"}]


async def raw_server(answer: bytes) -> asyncio.AbstractServer:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize("answer", [b"not http\r\n\r\n", b"", b"HTTP/1.1 101 Fine\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n"])
async def test_what_answers_and_is_no_receiver_is_unreachable(answer: bytes) -> None:
    server = await raw_server(answer)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(DialFailed):
            await asyncio.wait_for(dial(Target("ws", "127.0.0.1", port), "t", 2 * BOUND), BOUND)
    finally:
        server.close()


async def test_a_receiver_that_breaks_the_protocol_loses_its_socket(bench: Platform) -> None:
    await bench.serve(Counting())
    await bench.invoke().relay.ended()
    (live,) = bench.receiver.live
    await live.send_str("text")
    await bench.receiver.changes.until(lambda: not bench.receiver.live)
    await bench.invoke().relay.ended()
    (live,) = bench.receiver.live
    await live.send_bytes(b"\xff" * 64)
    await bench.receiver.changes.until(lambda: not bench.receiver.live)
    assert (await bench.invoke().relay.ended()).verdict is Verdict.OK


def canary() -> tuple[socket.socket, int]:
    """A listening socket that nobody may connect to."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    return listening, listening.getsockname()[1]


@pytest.mark.parametrize(
    "url",
    [
        "ws://169.254.169.254/callback/v1",
        "ws://127.0.0.1:{canary}/callback/v1",
        "ws://127.0.0.1:{allowed}@127.0.0.1:{canary}/callback/v1",
        "ws://user:pass@127.0.0.1:{allowed}/callback/v1",
        "ws://127.0.0.1.evil.example:{allowed}/callback/v1",
        "ws://[::ffff:127.0.0.1]:{canary}/callback/v1",
        "ws://2130706433:{canary}/callback/v1",
        "ws://2130706433:{allowed}/callback/v1",
        "ws://127.1:{allowed}/callback/v1",
        "ws://0x7f.0.0.1:{allowed}/callback/v1",
        "ws://localhost:{allowed}/callback/v1",
        "ws://127.0.0.1.:{allowed}/callback/v1",
        "WS://127.0.0.1:{allowed}/callback/v1",
        "wss://127.0.0.1:{allowed}/callback/v1",
        "http://127.0.0.1:{allowed}/callback/v1",
        "ws://127.0.0.1:{allowed}/elsewhere",
        "ws://127.0.0.1:{allowed}/callback/v1?x=1",
        "ws://127.0.0.1:{allowed}/callback/v1#x",
        "ws://127.0.0.1:{allowed}\\@127.0.0.1:{canary}/callback/v1",
        "ws://127.0.0.1:{allowed}/callback/v1\r\nX: y",
        "ws://127.0.0.1:0{canary}00/callback/v1",
        "ws://127.0.0.1:99999/callback/v1",
        "unix://{folder}/other",
        "unix://{folder}/../{name}/receiver",
        "unix://host{folder}/receiver",
        "",
        "//127.0.0.1",
    ],
)
async def test_a_payload_cannot_make_the_bridge_dial_elsewhere(bench: Platform, url: str) -> None:
    watched, port = canary()
    application = Counting()
    bench.receiver.port = 1
    try:
        await bench.serve(application)
        names = {"canary": port, "allowed": 1, "folder": bench.folder, "name": bench.folder.name}
        outcome = await bench.invoke(url=url.format(**names)).outcome()
        assert outcome.body["errorType"] == "Dialback.CallbackUnreachable"
        assert application.calls == 0
        assert (bench.receiver.upgrades, bench.receiver.sockets) == ([], 0)
        with pytest.raises(BlockingIOError):
            watched.accept()
    finally:
        watched.close()


async def test_proxies_of_the_environment_are_not_used(bench: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, port = canary()
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, f"http://127.0.0.1:{port}")
    receiver = FakeReceiver()
    await receiver.start()
    try:
        await (await dial(Target("ws", "127.0.0.1", receiver.port), "token", BOUND)).answers(BOUND)
        with pytest.raises(BlockingIOError):
            watched.accept()
    finally:
        watched.close()
        await receiver.stop()


def test_an_allowed_url_yields_the_lists_own_entry() -> None:
    unix, tcp, other = (
        Target("unix", path="/run/r.sock"),
        Target("ws", "10.0.0.1", 8082),
        Target("wss", "h", 443, "/x"),
    )
    allowed = AllowList([unix, tcp, other])
    assert allowed.pick("unix:///run/r.sock") is unix
    assert allowed.pick("ws://10.0.0.1:8082/callback/v1") is tcp
    assert allowed.pick("ws://10.0.0.1:8082") is tcp
    assert allowed.pick("wss://h/x") is other
    assert (tcp.authority, tcp.request_path, other.request_path) == ("10.0.0.1:8082", "/callback/v1", "/x")
    assert [str(target) for target in (unix, other)] == ["unix:///run/r.sock", "wss://h:443/x"]
    with pytest.raises(CallbackNotAllowed):
        allowed.pick("wss://h/y")


def test_ports_have_their_defaults_and_bounds() -> None:
    assert parse_target("ws://h").port == 80
    assert parse_target("wss://[::1]").host == "[::1]"
    for bad in ("ws://h:0", "ws://h:65536", "ws://h:" + "9" * 3000, "ws://h/\u00e9"):
        with pytest.raises(ValueError):
            parse_target(bad)
