"""For servers that cannot choose a free port by themselves: one is found, and another when it was taken meanwhile."""

import socket
import time
from collections.abc import Callable

from bench.processes import Process, StartError

ATTEMPTS = 3


def on_a_free_port(start: Callable[[int], Process], give_up: Callable[[Process], None]) -> int:
    """The port on which what `start` started listens. `give_up` gets what did not. Raises StartError."""
    for attempt in range(ATTEMPTS):
        port = _free_port()
        process = start(port)
        try:
            _wait_until_it_listens(process, port)
        except StartError as error:
            if attempt == ATTEMPTS - 1:
                raise StartError(f"{error}: {process.last_words()}") from error
            give_up(process)
        else:
            return port
    raise AssertionError("unreachable")


def _free_port() -> int:
    """Another may take it before it is used: hence the attempts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_it_listens(process: Process, port: int, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (status := process.popen.poll()) is not None:
            raise StartError(f"{process.name} ended with {status}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise StartError(f"{process.name} does not listen after {seconds:g} s")
