"""The fields a request is relayed with."""

import re

import pytest
from edge_kit import Front, get

from dialback_edge.forwarded import Peer, is_dropped
from dialback_edge.settings import EdgeSettings


@pytest.mark.parametrize(
    "name",
    [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "proxy-authenticate",
        "proxy-authorization",
        "expect",
        "trailer",
        "http2-settings",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-prefix",
        "x-forwarded-anything",
        "x_forwarded_for",
        "x-forwarded_for",
        "transfer_encoding",
        "content_length",
        "x-dialback-id",
        "x-dialback-anything",
        "x_dialback_run",
    ],
)
def test_fields_of_this_hop_and_reserved_ones_are_dropped(name: str) -> None:
    assert is_dropped(name.encode())


@pytest.mark.parametrize(
    "name", ["accept", "authorization", "cookie", "x-dialback-run", "x-real-ip", "my_field", "te2"]
)
def test_others_are_passed_on(name: str) -> None:
    assert not is_dropped(name.encode())


async def test_what_a_client_says_about_itself_is_not_believed(front: Front) -> None:
    client = await front.client(
        get(
            "/",
            "X-Forwarded-For: 6.6.6.6",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: evil.test",
            "X-Forwarded-Port: 1",
            "X_Forwarded_For: 6.6.6.6",
            "X-Forwarded-Prefix: /evil",
            "Forwarded: for=6.6.6.6",
            "X-Dialback-Id: forged",
            "X-Dialback-Run: ticket",
            "Connection: X-Forwarded-For, Authorization, Close-Not",
            "Authorization: secret",
            "Close-Not: x",
            "Cookie: a=b",
        )
    )
    call = await front.invoker.call()
    assert call.header(b"x-forwarded-for") == b"127.0.0.1"
    assert call.header(b"x-forwarded-proto") == b"http"
    assert call.header(b"x-forwarded-host") == b"example.test"
    assert call.header(b"x-forwarded-port") == b"80"
    assert call.header(b"x-dialback-run") == b"ticket"
    assert call.header(b"cookie") == b"a=b"
    names = {name for name, _ in call.request.fields}
    assert not names & {b"x_forwarded_for", b"x-forwarded-prefix", b"forwarded", b"x-dialback-id"}
    assert not names & {b"authorization", b"close-not", b"connection"}
    assert call.request.scheme == b"http"
    call.answer(b"")
    assert (await client.answer())["x-dialback-id"] != "forged"


async def test_a_trusted_proxy_is_believed_and_its_chain_extended(front: Front) -> None:
    front.settings = {"trusted_proxies": ["127.0.0.0/8"]}
    await front.client(
        get(
            "/",
            "X-Forwarded-For: 6.6.6.6",
            "X-Forwarded-For: 7.7.7.7",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: shop.test",
        )
    )
    call = await front.invoker.call()
    assert call.header(b"x-forwarded-for") == b"6.6.6.6, 7.7.7.7, 127.0.0.1"
    assert call.header(b"x-forwarded-proto") == b"https"
    assert call.header(b"x-forwarded-host") == b"shop.test"
    assert call.header(b"x-forwarded-port") == b"443"
    assert call.request.scheme == b"https"
    await front.client(get("/", "X-Forwarded-Proto: gopher", "X-Forwarded-Port: 8443"))
    call = await front.invoker.call()
    assert call.header(b"x-forwarded-for") == b"127.0.0.1"
    assert call.header(b"x-forwarded-proto") == b"http"
    assert call.header(b"x-forwarded-port") == b"8443"


async def test_the_port_of_the_host_is_forwarded(front: Front) -> None:
    await front.client(b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n")
    assert (await front.invoker.call()).header(b"x-forwarded-port") == b"8080"
    await front.client(b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n")
    assert (await front.invoker.call()).header(b"x-forwarded-port") == b"80"


async def test_a_trace_is_passed_on_untouched_or_begun(front: Front) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await front.client(get("/", f"traceparent: {given}", "tracestate: a=b"))
    call = await front.invoker.call()
    assert call.header(b"traceparent") == given.encode()
    assert call.header(b"tracestate") == b"a=b"
    await front.client(get("/", f"traceparent: {given}", "Connection: traceparent"))
    assert (await front.invoker.call()).header(b"traceparent") not in (None, given.encode())
    await front.client(get("/", "traceparent: nonsense", "traceparent: twice", "tracestate: a=b"))
    call = await front.invoker.call()
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00", call.header(b"traceparent") or b"")
    assert call.header(b"tracestate") is None, "the state of a trace that is none means nothing"
    await front.client(get())
    made = (await front.invoker.call()).header(b"traceparent")
    assert made is not None
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00", made)


async def test_each_request_of_a_connection_begins_a_trace_of_its_own(front: Front) -> None:
    front.invoker.handler = lambda call: call.answer(b"x")
    client = await front.client()
    for _ in range(3):
        await client.send(get("/same", "X-Forwarded-For: 6.6.6.6"))
        await client.answer()
    calls = front.invoker.calls
    assert len({call.header(b"traceparent") for call in calls}) == 3
    assert {call.header(b"x-forwarded-for") for call in calls} == {b"127.0.0.1"}
    assert len({tuple(f for f in call.request.fields if f[0] != b"traceparent") for call in calls}) == 1


def test_peers_are_written_as_addresses() -> None:
    trusted = EdgeSettings.model_validate({"trusted_proxies": ["10.0.0.0/8", "fd00::/8"]}).trusted_proxies
    assert Peer(("10.1.2.3", 5), trusted).trusted
    assert Peer(("::ffff:10.1.2.3", 5), trusted).trusted
    assert Peer(("::ffff:10.1.2.3", 5)).address == b"10.1.2.3:5"
    assert Peer(("fe80::1%eth0", 5)).address == b"[fe80::1]:5"
    assert Peer(("fd00::1", 5), trusted).trusted
    assert not Peer(("11.1.2.3", 5), trusted).trusted


async def test_ipv6_works(front: Front) -> None:
    front.settings = {"host": "::1"}
    try:
        await front.start()
    except Exception:
        pytest.skip("no IPv6 here")
    import asyncio
    import socket

    sock = socket.socket(socket.AF_INET6)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, front.address)
    await loop.sock_sendall(sock, b"GET / HTTP/1.0\r\n\r\n")
    call = await front.invoker.call()
    assert call.request.peer.startswith(b"[::1]:")
    assert call.request.authority == b"[::1]:%d" % front.address[1]
    assert call.header(b"x-forwarded-for") == b"::1"
    sock.close()
