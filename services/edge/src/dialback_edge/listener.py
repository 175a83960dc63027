"""The listening socket: accepts clients, no more than there is room for, and survives a lack of file descriptors.

An own accept loop, because uvloop's server closes itself when `accept` fails with EMFILE.
"""

import asyncio
import errno
import resource
import socket
from collections.abc import Callable

from .errors import SettingsError

_BATCH = 64
_RESERVED_FILES = 64
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Accepts on one address. `factory` makes a protocol for each client; `connected` says how many there are; with
    `shared` the port may have further listeners.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        connected: Callable[[], int],
        *,
        at_most: int | None = None,
        backlog: int = 1024,
        shared: bool = False,
    ) -> None:
        self._factory = factory
        self._connected = connected
        self._at_most = at_most or _file_limit()
        self._backlog = backlog
        self._shared = shared
        self._socket: socket.socket | None = None
        self._accepting = False
        self._handshakes: set[asyncio.Task[object]] = set()

    def bind(self, host: str, port: int) -> tuple[str, int]:
        """Listen and accept. Returns the bound address; port 0 picks one. Raises SettingsError."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, kind, protocol)
        except OSError as error:
            raise _cannot_listen(error, host, port) from error
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._shared:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _set_for_accepted(listening)
            listening.bind(address)
            listening.listen(self._backlog)
        except OSError as error:
            listening.close()
            raise _cannot_listen(error, host, port) from error
        self._socket = listening
        self.resume()
        bound = listening.getsockname()
        return str(bound[0]), int(bound[1])

    def resume(self) -> None:
        """Accept again if it was given up and there is room now. Called once a tick."""
        if self._socket is not None and not self._accepting and self._has_room():
            self._accepting = True
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more. What was accepted lives on."""
        self._pause()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _pause(self) -> None:
        if self._accepting and self._socket is not None:
            self._accepting = False
            asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def _has_room(self) -> bool:
        return self._connected() + len(self._handshakes) < self._at_most

    def _accept(self) -> None:
        listening = self._socket
        loop = asyncio.get_running_loop()
        for _ in range(_BATCH):
            if listening is None or not self._has_room():
                self._pause()
                return
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_FILES:
                    # The client stays in the kernel's queue; the next tick tries again.
                    self._pause()
                    return
                # Anything else is about this one client (ECONNABORTED and the like).
                continue
            accepted.setblocking(False)
            task: asyncio.Task[object] = loop.create_task(self._adopt(loop, accepted))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _adopt(self, loop: asyncio.AbstractEventLoop, accepted: socket.socket) -> None:
        try:
            await loop.connect_accepted_socket(self._factory, accepted)
        except OSError:
            accepted.close()


def _cannot_listen(error: OSError, host: str, port: int) -> SettingsError:
    if error.errno == errno.EADDRINUSE:
        return SettingsError(f"port {port} on {host} is in use; choose another with --port, 0 for any")
    return SettingsError(f"cannot listen on {host}:{port}: {error.strerror or error}")


def _file_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(1, soft - _RESERVED_FILES)


def _set_for_accepted(listening: socket.socket) -> None:
    """Options that accepted sockets inherit: no delay, and probes that find vanished clients within two minutes."""
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, value)
