"""Keep-alive, pipelining, routing inside the edge."""

import asyncio
import json
import re

import pytest
from edge_kit import PATIENCE, Client, Front, get

from dialback_wire.messages import Verdict


async def test_a_request_reaches_the_invoker_and_its_answer_the_client(front: Front) -> None:
    client = await front.client(get("/@hello/a%20b?q=1", "X-Thing:  two words \t"))
    call = await front.invoker.call()
    assert call.request.method == b"GET"
    assert call.request.target == b"/@hello/a%20b?q=1"
    assert call.request.authority == b"example.test"
    assert call.request.body_length == 0
    assert call.request.peer == b"127.0.0.1:%d" % client.sock.getsockname()[1]
    assert call.request.http_version == b"1.1"
    assert 0 <= call.request.age_us < 5_000_000
    assert call.header(b"host") == b"example.test"
    assert call.header(b"x-thing") == b"two words"
    call.answer(b"hello", 201, (b"x-kind", b"greeting"))
    answer = await client.answer()
    assert (answer.status, answer.body) == (201, b"hello")
    assert answer["x-kind"] == "greeting"
    assert answer["x-dialback-id"] == call.request.id
    assert re.fullmatch("[0-9a-z]{26}", call.request.id)
    assert "date" in answer
    assert "connection" not in answer
    record = front.log.all[0]
    assert (record.code, record.status, record.bytes_out, record.path) == ("--", 201, 5, "/@hello/a%20b")
    assert "q=1" not in record.line()


async def test_a_connection_serves_many_requests(front: Front) -> None:
    client = await front.client()
    ids = set()
    for number in range(20):
        await client.send(get(f"/{number}"))
        call = await front.invoker.call()
        call.answer(b"%d" % number)
        answer = await client.answer()
        assert answer.body == b"%d" % number
        ids.add(answer["x-dialback-id"])
    assert len(ids) == 20


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(front: Front) -> None:
    requests = [get("/a"), get("/b", "Content-Length: 3", method="POST", body=b"xyz"), get("/c")]
    client = await front.client(b"".join(requests))
    for name in (b"a", b"b", b"c"):
        call = await front.invoker.call()
        assert len(front.invoker.calls) == b"abc".index(name) + 1
        assert call.request.target == b"/" + name
        call.head(200)
        call.stream.write(name * 3)
        call.stream.end(Verdict.OK)
        assert (await client.answer()).body == name * 3
    assert front.log.codes == ["--"] * 3


async def test_pipelined_requests_fed_byte_by_byte_give_the_same(front: Front) -> None:
    front.invoker.handler = lambda call: call.answer(call.request.target)
    client = await front.client()
    chunked = get(
        "/b", "Transfer-Encoding: chunked", method="PUT", body=b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n"
    )
    await client.send_bytewise(get("/a") + b"\r\n" + chunked + get("/c"))
    for target in (b"/a", b"/b", b"/c"):
        assert (await client.answer()).body == target
    assert bytes(front.invoker.calls[1].body) == b"abc0123456789"


async def test_what_is_read_ahead_is_bounded(front: Front) -> None:
    front.limits = {"pipelined": 1024}
    client = await front.client(get("/first"))
    call = await front.invoker.call()
    flood = get("/next") * 400_000
    sent = 0
    try:
        while sent < len(flood):
            async with asyncio.timeout(0.3):
                await _writable(client)
            sent += client.sock.send(flood[sent : sent + 65536])
    except TimeoutError:
        pass  # nobody reads on
    assert sent < len(flood)
    front.invoker.handler = lambda call: call.answer(b"n")
    call.answer(b"first")
    assert (await client.answer()).body == b"first"
    for _ in range(100):
        assert (await client.answer()).body == b"n"


async def _writable(client: Client) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(client.sock, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(client.sock)


async def test_thousands_of_pipelined_requests_answered_at_once_need_no_stack(front: Front) -> None:
    front.limits = {"pipelined": 1_000_000}
    client = await front.client(get("/_dialback/health") * 3000)
    for _ in range(3000):
        assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("request_fields", "version", "kept"),
    [
        ((), "1.1", True),
        (("Connection: close",), "1.1", False),
        ((), "1.0", False),
        (("Connection: Keep-Alive",), "1.0", True),
    ],
)
async def test_the_client_decides_whether_the_connection_is_kept(
    front: Front, request_fields: tuple[str, ...], version: str, kept: bool
) -> None:
    front.invoker.handler = lambda call: call.answer(b"x")
    client = await front.client(get("/", *request_fields, version=version))
    answer = await client.answer()
    if kept:
        await client.send(get("/", *request_fields, version=version))
        assert (await client.answer()).body == b"x"
    else:
        assert answer["connection"] == "close"
        assert await client.rest() == b""


async def test_an_http_1_0_client_without_host_is_served_under_the_address_it_reached(front: Front) -> None:
    client = await front.client(b"GET /x HTTP/1.0\r\n\r\n")
    call = await front.invoker.call()
    assert call.request.authority == b"127.0.0.1:%d" % front.address[1]
    assert call.request.http_version == b"1.0"
    call.head(200)
    call.stream.write(b"until the end")
    call.stream.end(Verdict.OK)
    answer = await client.answer()
    assert answer.body == b"until the end"
    assert "transfer-encoding" not in answer


async def test_a_probe_that_finds_all_well_is_not_logged(front: Front) -> None:
    await front.ask(get("/_dialback/health?probe"))
    assert front.log.all == []
    assert front.upstream is not None
    front.upstream.down = True
    await front.ask(get("/_dialback/health"))
    assert [record.status for record in front.log.all] == [503]


async def test_health_says_whether_the_link_is_there(front: Front) -> None:
    answer = await front.ask(get("/_dialback/health?x"))
    assert answer.status == 200
    assert json.loads(answer.body) == {"status": "ready", "link": "ready"}
    assert front.upstream is not None
    front.upstream.down = True
    answer = await front.ask(get("/_dialback/health"))
    assert answer.status == 503
    assert json.loads(answer.body) == {"status": "unavailable", "link": "connecting"}
    client = await front.client(get("/_dialback/health", method="HEAD"))
    assert (await client.answer(b"HEAD")).status == 503
    assert (await front.ask(get("/_dialback/health", method="POST"))).status == 405
    assert (await front.ask(get("/_dialback/other"))).status == 404
    assert front.invoker.calls == []


async def test_no_link_is_503_with_retry_after_and_the_connection_stays_usable(front: Front) -> None:
    await front.start()
    assert front.upstream is not None
    front.upstream.down = True
    client = await front.client(get("/", "Content-Length: 5", method="POST", body=b"12345"))
    answer = await client.answer()
    assert (answer.status, answer["retry-after"]) == (503, "1")
    assert json.loads(answer.body)["error"] == {
        "code": "no_upstream",
        "message": "not now",
        "id": answer["x-dialback-id"],
    }
    front.upstream.down = False
    await client.send(get("/"))
    (await front.invoker.call()).answer(b"back")
    assert (await client.answer()).body == b"back"
    assert front.log.codes == ["IR", "--"]


async def test_options_star_is_answered_by_the_edge(front: Front) -> None:
    client = await front.client(get("*", method="OPTIONS") + get("/x"))
    answer = await client.answer()
    assert answer.status == 204
    assert "GET" in answer["allow"]
    (await front.invoker.call()).answer(b"x")
    assert (await client.answer()).body == b"x"


async def test_absolute_form_is_relayed_as_a_path(front: Front) -> None:
    front.invoker.handler = lambda call: call.answer(call.request.target)
    assert (await front.ask(get("http://EXAMPLE.test/a?b"))).body == b"/a?b"
    assert (await front.ask(get("http://example.test"))).body == b"/"
    assert (await front.ask(get("http://example.test?q"))).body == b"/?q"
    assert (await front.ask(get("http://other.test/a"))).status == 400


async def test_hosts_outside_the_allow_list_are_misdirected(front: Front) -> None:
    front.settings = {"authorities": ["example.test", ".example.org", "[::1]"]}
    front.invoker.handler = lambda call: call.answer(b"x")

    async def status(host: str) -> int:
        return (await front.ask(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())).status

    assert [await status(host) for host in ("example.test", "Example.Test:80", "a.example.org", "[::1]:8080")] == [
        200
    ] * 4
    assert [await status(host) for host in ("evil.test", "example.org.evil", "example.org", "[::2]")] == [421] * 4
    answer = await front.ask(b"GET /_dialback/health HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n")
    assert answer.status == 200


async def test_an_upgrade_that_is_not_served_is_ignored_also_with_a_body(front: Front) -> None:
    fields = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    client = await front.client(
        get("/", *fields, "Content-Length: 4", method="POST", body=b"body") + get("/2", *fields)
    )
    call = await front.invoker.call()
    await call.until(lambda: call.body_end)
    assert bytes(call.body) == b"body"
    for name in (b"connection", b"upgrade", b"http2-settings"):
        assert call.header(name) is None
    call.answer(b"ok")
    assert (await client.answer()).body == b"ok"
    (await front.invoker.call()).answer(b"2")
    assert (await client.answer()).body == b"2"


async def test_http2_with_prior_knowledge_is_told_off(front: Front) -> None:
    answer = await front.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert answer.status == 505


async def test_one_connection_that_fails_in_its_tick_is_closed_and_the_clocks_of_the_others_go_on(
    front: Front, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    front.timeouts["idle"] = 0.2
    faulty, other = await front.client(get("/faulty")), await front.client()
    await front.invoker.call()
    assert front.service is not None
    (broken,) = [c for c in front.service._context.connections if c._exchange is not None]

    def fail() -> None:
        raise RuntimeError("a bug")

    assert broken._exchange is not None
    monkeypatch.setattr(type(broken._exchange), "tick", lambda self: fail())
    assert await faulty.is_reset()
    assert "a bug" in caplog.text
    assert await other.rest() == b""
    assert front.log.codes == ["KH"]


async def test_a_request_that_does_not_fit_the_link_harms_only_itself(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    await front.start()
    assert front.upstream is not None

    def fail(request: object, sink: object) -> None:
        raise ValueError("does not fit")

    monkeypatch.setattr(front.upstream, "open", fail)
    client = await front.client(get())
    answer = await client.answer()
    assert answer.status == 502
    monkeypatch.undo()
    await client.send(get())
    (await front.invoker.call()).answer(b"fine")
    assert (await client.answer()).body == b"fine"
    assert front.log.codes == ["IR", "--"]


async def test_what_a_connection_remembers_of_its_last_request_and_answer_is_gone_after_a_tick(front: Front) -> None:
    front.timeouts["tick"] = 0.1
    front.invoker.handler = lambda call: call.answer(b"x", 200, (b"set-cookie", b"secret"))
    client = await front.client(get("/", "Cookie: secret"))
    await client.answer()
    assert front.service is not None
    (connection,) = front.service._context.connections
    async with asyncio.timeout(PATIENCE):
        while connection._reader._last is not None or connection.last_head is not None:
            await asyncio.sleep(0)
    assert (connection._reader._last_raw, connection._reader._last_block) == (b"", b"")
    await client.send(get("/", "Cookie: secret"))
    assert (await client.answer())["set-cookie"] == "secret"
