"""Asking the kernel about the other end."""

import socket

import pytest

from dialback_edge import presence


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    return near, far


def fill(sock: socket.socket) -> None:
    while True:
        sock.send(b"x" * 65536)


def empty(sock: socket.socket) -> None:
    while sock.recv(1 << 20):
        pass


@pytest.mark.parametrize("linux", [True, False])
def test_a_closed_other_end_has_left(linux: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "_LINUX", linux)
    near, far = pair()
    assert not presence.has_left(near)
    far.close()
    for _ in range(1000):
        if presence.has_left(near):
            break
    assert presence.has_left(near)
    near.close()
    assert presence.has_left(near)


def test_behind_unread_bytes_linux_tells_and_a_peek_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = pair()
    far.sendall(b"unread")
    far.close()
    near.recv(1, socket.MSG_PEEK)
    for _ in range(1000):
        if presence.has_left(near):
            break
    assert presence.has_left(near)
    monkeypatch.setattr(presence, "_LINUX", False)
    assert not presence.has_left(near)
    assert presence.unsent(near) == 0
    near.close()


def test_unsent_bytes_are_those_that_the_other_end_has_not_taken() -> None:
    near, far = pair()
    near.setblocking(False)
    with pytest.raises(BlockingIOError):
        fill(near)
    assert presence.unsent(near) > 0
    presence.close_with_reset(near)
    near.close()
    with pytest.raises(ConnectionResetError):
        empty(far)
    far.close()
    assert presence.unsent(near) == 0
    presence.close_with_reset(near)
