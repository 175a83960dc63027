"""Accepting: bounded, and alive after a lack of file descriptors."""

import asyncio
import resource
import socket

import pytest
from edge_kit import Client, Front, get

from dialback_edge import listener
from dialback_edge.errors import SettingsError
from dialback_edge.service import EdgeService
from dialback_edge.settings import EdgeSettings


async def test_a_lack_of_descriptors_is_survived_without_spinning(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    front.invoker.handler = lambda call: call.answer(b"ok")
    client = await front.client(get())
    assert (await client.answer()).body == b"ok"
    assert front.service is not None
    accepting = front.service._listener
    attempts = 0
    real = accepting._accept

    def counted() -> None:
        nonlocal attempts
        attempts += 1
        real()

    monkeypatch.setattr(accepting, "_accept", counted)
    accepting._pause()
    accepting.resume()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    waiting = [socket.socket() for _ in range(3)]
    for sock in waiting:
        sock.setblocking(False)
    # The next descriptor would be one too many: dup tells which number that is.
    probe = socket.socket()
    limit = probe.fileno()
    probe.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        loop = asyncio.get_running_loop()
        for sock in waiting:
            await loop.sock_connect(sock, front.address)
        await asyncio.sleep(0.1)
        assert 1 <= attempts < 30
        # Who is connected is served all the while.
        await client.send(get())
        assert (await client.answer()).body == b"ok"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for sock in waiting:
        late = Client(sock)
        await late.send(get())
        assert (await late.answer()).body == b"ok"
        late.close()


async def test_clients_over_the_limit_wait_for_their_turn(front: Front) -> None:
    front.limits = {"connections": 2}
    front.invoker.handler = lambda call: call.answer(b"ok")
    first, second = await front.client(get()), await front.client(get())
    await first.answer()
    await second.answer()
    third = await front.client(get())
    await asyncio.sleep(0.05)
    assert len(front.invoker.calls) == 2
    first.close()
    assert (await third.answer()).body == b"ok"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.1"])
async def test_an_address_that_cannot_be_had_is_named(front: Front, host: str) -> None:
    await front.start()
    assert front.upstream is not None
    edge = EdgeService(EdgeSettings(host=host, port=8080), front.upstream)
    with pytest.raises(SettingsError, match=rf"cannot listen on {host}:\d+: "):
        await edge.start()


async def test_a_port_in_use_is_named(front: Front) -> None:
    await front.start()
    assert front.upstream is not None
    with pytest.raises(SettingsError, match=f"port {front.address[1]} on 127.0.0.1 is in use; choose another"):
        await EdgeService(EdgeSettings(port=front.address[1]), front.upstream).start()


async def test_edges_that_share_a_port_both_listen(front: Front) -> None:
    await front.start()
    assert front.upstream is not None
    shared = EdgeSettings(port=0, share_port=True)
    one, two = EdgeService(shared, front.upstream), EdgeService(shared, front.upstream)
    _, port = await one.start()
    try:
        two._listener.bind("127.0.0.1", port)
        with pytest.raises(SettingsError, match=f"port {port} on 127.0.0.1 is in use"):
            await EdgeService(EdgeSettings(port=port), front.upstream).start()
    finally:
        await one.stop()
        await two.stop()


def test_no_file_limit_means_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert listener._file_limit() == 1_000_000
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 256))
    assert listener._file_limit() == 192


async def test_a_client_that_is_gone_before_it_is_adopted_harms_nobody(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    await front.start()
    loop = asyncio.get_running_loop()

    class Broken:
        async def connect_accepted_socket(self, factory: object, sock: socket.socket) -> None:
            raise OSError("gone")

    assert front.service is not None
    left, right = socket.socketpair()
    await front.service._listener._adopt(Broken(), right)  # type: ignore[arg-type]
    assert right.fileno() == -1
    left.close()

    class Aborted:
        def accept(self) -> None:
            self.asked = getattr(self, "asked", 0) + 1
            raise ConnectionAbortedError if self.asked < 3 else BlockingIOError

    real, front.service._listener._socket = front.service._listener._socket, Aborted()  # type: ignore[assignment]
    front.service._listener._accept()
    front.service._listener._socket = real
    assert loop.is_running()
