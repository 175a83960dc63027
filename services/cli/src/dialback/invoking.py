"""Writes an answer to stdout as it comes, byte by byte or as events for programs, and says how it ended."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from rich.text import Text

from dialback.errors import CliError, OutputClosed, Truncated
from dialback.exchange import Exchange, Incoming, Outgoing, Piece
from dialback.terminal import QUIET, error_console, milliseconds, size


@dataclass(slots=True)
class Tally:
    """What came of a body: bytes, chunks of the wire, and when its last piece came, in milliseconds."""

    received: int = 0
    chunks: int = 0
    last: float = 0.0

    def count(self, piece: Piece) -> None:
        """One more piece."""
        self.received += len(piece.data)
        self.chunks += piece.complete
        self.last = piece.t


class Writer(Protocol):
    """How an answer is written."""

    def head(self, head: Incoming) -> None:
        """A head came, of a 1xx too."""

    def piece(self, piece: Piece) -> None:
        """Bytes of the body came."""

    def end(self, head: Incoming, tally: Tally, why: str) -> None:
        """It is over; `why` it stopped short, or nothing."""


class Bytes:
    """The body as it is, and with `include` the heads before it."""

    def __init__(self, include: bool) -> None:
        self._include = include

    def head(self, head: Incoming) -> None:
        """Status line and headers, if they are wanted."""
        if self._include:
            _out(head_bytes(head))

    def piece(self, piece: Piece) -> None:
        """The bytes."""
        _out(piece.data)

    def end(self, head: Incoming, tally: Tally, why: str) -> None:
        """A last line for a person who watches, on stderr."""
        console = error_console()
        if not why and head.status < 400 and console.is_terminal and sys.stdout.isatty():
            said = f"\n{head.status} · {size(tally.received)} in {milliseconds(tally.last)}"
            console.print(Text(said + (f" · dialback trace {head.invocation}" if head.invocation else ""), QUIET))


class Events:
    """One JSON object a line: `head` (`info` for a 1xx), `data` for each piece, `end`. Times are in milliseconds after
    the request began to be sent. A piece that is not UTF-8 by itself is base64.
    """

    def head(self, head: Incoming) -> None:
        """Status and headers."""
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in head.headers]
        told = {"id": head.invocation, "status": head.status, "headers": headers}
        self._tell("head" if head.status >= 200 else "info", head.t, told)

    def piece(self, piece: Piece) -> None:
        """Bytes of the body, and whether they are the last of their chunk."""
        try:
            body = {"text": piece.data.decode()}
        except UnicodeDecodeError:
            body = {"base64": base64.b64encode(piece.data).decode()}
        self._tell("data", piece.t, {**body, "chunk_complete": piece.complete})

    def end(self, head: Incoming, tally: Tally, why: str) -> None:
        """How much came, and whether that is all."""
        told = {"bytes": tally.received, "chunks": tally.chunks, "complete": not why}
        self._tell("end", tally.last or head.t, told | ({"error": why} if why else {}))

    def _tell(self, event: str, at: float, told: dict[str, object]) -> None:
        line = json.dumps({"event": event, "at_ms": round(at, 2), **told}, ensure_ascii=False)
        _out(line.encode() + b"\n")


@dataclass(slots=True)
class Invocation:
    """One `dialback invoke`."""

    name: str
    writer: Writer

    def write(self, address: str, request: Outgoing) -> None:
        """CliError when the status is 400 or more, Truncated when the answer stops short."""
        head: Incoming | None = None
        tally = Tally()
        try:
            for step in Exchange(address, request).run():
                if isinstance(step, Incoming):
                    head = step if step.status >= 200 else head
                    self.writer.head(step)
                else:
                    tally.count(step)
                    self.writer.piece(step)
        except Truncated as short:
            if head is not None:
                self.writer.end(head, tally, short.message)
            raise
        if head is None:
            return
        self.writer.end(head, tally, "")
        if head.status >= 400:
            raise CliError(
                f"{self.name} answered {head.status} {phrase(head)}".rstrip(),
                hint=f"`dialback trace {head.invocation}` shows what happened" if head.invocation else "",
            )


def _out(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError as closed:
        raise OutputClosed("the output was closed") from closed


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
