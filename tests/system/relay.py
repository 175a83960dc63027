"""Stands between edge and invoker, so that a test can cut the link and nothing else."""

import socket
import threading
from pathlib import Path


class Relay:
    """Passes on what comes to the Unix socket `at`, to the one at `to`."""

    def __init__(self, at: Path, to: Path) -> None:
        self._to = str(to)
        self._open: list[socket.socket] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(at))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """End every connection; how many there were."""
        count = len(self._open) // 2
        while self._open:
            one = self._open.pop()
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        return count

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                here = self._listening.accept()[0]
            except OSError:
                return
            there = socket.socket(socket.AF_UNIX)
            there.connect(self._to)
            self._open += [here, there]
            for source, target in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        finally:
            source.close()
