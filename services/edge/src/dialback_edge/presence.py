"""Whether a client is still there, asked of the kernel.

While reading from a socket is paused, neither uvloop nor asyncio notices that the other end left.
"""

import os
import socket
import struct
import sys
from typing import Protocol

TCP_ESTABLISHED = 1
_LINUX = sys.platform.startswith("linux")
_LINGER_RESET = struct.pack("ii", 1, 0)
_SIOCOUTQ = 0x5411


class SocketLike(Protocol):
    """The part of a socket that is used here; a transport's `socket` has it too."""

    def fileno(self) -> int: ...
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...
    def setsockopt(self, level: int, option: int, value: bytes, /) -> None: ...


def has_left(sock: SocketLike) -> bool:
    """Whether the other end has closed or reset the connection, even behind bytes that nobody has read.

    On Linux the TCP state tells: anything but ESTABLISHED (a FIN makes it CLOSE_WAIT, a RST CLOSE). Elsewhere a peek
    tells, unless unread bytes are in the way.
    """
    try:
        if _LINUX:
            return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_ESTABLISHED
        return _peeks_empty(sock.fileno())
    except OSError:
        return True


def _peeks_empty(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as copy:
        try:
            return copy.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False


def unsent(sock: SocketLike) -> int:
    """Bytes that the kernel still holds for the other end; 0 where it cannot be asked."""
    if not _LINUX:
        return 0
    import fcntl

    answer = bytearray(4)
    try:
        fcntl.ioctl(sock.fileno(), _SIOCOUTQ, answer)
    except (OSError, ValueError):
        # Closed already.
        return 0
    return int.from_bytes(answer, sys.byteorder)


def close_with_reset(sock: SocketLike) -> None:
    """Make the close that follows send RST instead of FIN, which every client can tell from a clean end."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    except OSError:
        pass
