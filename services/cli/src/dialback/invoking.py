"""Writes an answer to stdout byte by byte as it comes, and says how it ended."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from http import HTTPStatus

from rich.text import Text

from dialback.errors import CliError, OutputClosed
from dialback.exchange import Exchange, Incoming, Outgoing
from dialback.terminal import QUIET, error_console, milliseconds, size


@dataclass(slots=True)
class Invocation:
    """One `dialback invoke`; `include` writes the head too."""

    name: str
    include: bool

    def write(self, address: str, request: Outgoing) -> None:
        """CliError when the status is 400 or more, Truncated when the answer stops short."""
        head: Incoming | None = None
        received, last = 0, 0.0
        for step in Exchange(address, request).run():
            last = step.t
            if isinstance(step, Incoming):
                head = step if step.status >= 200 else head
                if self.include:
                    self._out(head_bytes(step))
            else:
                received += len(step.data)
                self._out(step.data)
        if head is None:
            return
        if head.status >= 400:
            raise CliError(
                f"{self.name} answered {head.status} {phrase(head)}".rstrip(),
                hint=f"`dialback trace {head.invocation}` shows what happened" if head.invocation else "",
            )
        self._say(head, received, last)

    def _out(self, data: bytes) -> None:
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError as closed:
            raise OutputClosed("the output was closed") from closed

    def _say(self, head: Incoming, received: int, last: float) -> None:
        """A last line for a person who watches, on stderr."""
        console = error_console()
        if console.is_terminal and sys.stdout.isatty():
            said = f"\n{head.status} · {size(received)} in {milliseconds(last)}"
            console.print(Text(said + (f" · dialback trace {head.invocation}" if head.invocation else ""), QUIET))


def phrase(head: Incoming) -> str:
    """The reason phrase that came, else the usual one."""
    if head.reason:
        return head.reason.decode("latin-1")
    try:
        return HTTPStatus(head.status).phrase
    except ValueError:
        return ""


def head_bytes(head: Incoming) -> bytes:
    """Status line and headers as they came, and the empty line."""
    lines = [b"HTTP/1.1 %d %s" % (head.status, phrase(head).encode("latin-1"))]
    lines += [name + b": " + value for name, value in head.headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"
