"""A client that sees every byte."""

import socket
from types import TracebackType


class RawClient:
    """One TCP connection to the public port."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        self.received = bytearray()

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, path: str, *headers: str) -> None:
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
        self.send("\r\n".join(lines).encode())

    def until(self, marker: bytes) -> bytes:
        """Everything so far, once `marker` is in it."""
        while marker not in self.received:
            data = self.socket.recv(65536)
            if not data:
                raise AssertionError(f"closed before {marker!r}: {self.received[-300:]!r}")
            self.received += data
        return bytes(self.received)

    def rest(self) -> bytes:
        """Everything until the other side closes or resets."""
        try:
            while data := self.socket.recv(65536):
                self.received += data
        except ConnectionResetError:
            pass
        return bytes(self.received)
