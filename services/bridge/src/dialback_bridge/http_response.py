"""Reads an HTTP/1.1 response as it is written, cut anywhere: RFC 9112, with no socket and no clock.

For code that writes its answer as raw HTTP. Bytes in, events out: interim heads (1xx), the head, parts of the
body, free of their framing. What the head says about framing is taken off: the chunked coding is decoded, hop-by-hop
fields are dropped, Content-Length is kept and held against what comes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dialback_wire import fields as rules
from dialback_wire.messages import Field

MAX_HEAD = 64 * 1024
"""Bytes of a head; far more than `fields.MAX_BYTES` lets through."""

MAX_LINE = 4096
"""Bytes of the line that begins a chunk, and of a trailer's."""

_STATUS = re.compile(rb"HTTP/\d\.\d ([1-9]\d\d)(?: .*)?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class InvalidHttp(Exception):
    """What was written is no HTTP response, or ended before it was one."""


class HeadTooLarge(InvalidHttp):
    """The head goes on beyond MAX_HEAD."""


@dataclass(frozen=True)
class ResponseHead:
    """A head as it was written; `interim` when its status is 1xx."""

    status: int
    fields: tuple[Field, ...]

    @property
    def interim(self) -> bool:
        return self.status < 200


Event = ResponseHead | bytes
"""A head, or a part of the body."""


class ResponseReader:
    """Reads one response to a request; `is_head`: its method was HEAD."""

    def __init__(self, is_head: bool) -> None:
        self._is_head = is_head
        self._buffer = bytearray()
        self._step = self._read_head
        self._left = 0
        """Bytes that the current chunk still has, or, with a Content-Length, the body."""
        self.head: ResponseHead | None = None
        self.complete = False
        """Whether the framing says that the response is over; one without any is over when its writer says so."""
        self._until_close = False
        self._dropped = 0

    def feed(self, data: bytes) -> list[Event]:
        """Take what was written next; returns what it completes. Raises InvalidHttp."""
        self._buffer += data
        events: list[Event] = []
        while self._buffer and not self.complete and self._step(events):
            pass
        if self.complete and self._buffer:
            # As a client would that has its whole answer: HEAD's body, or a second answer that nobody asked for.
            self._dropped += len(self._buffer)
            self._buffer.clear()
        return events

    def close(self) -> None:
        """The writer is done. Raises InvalidHttp when the response is not whole."""
        if self.head is None:
            raise InvalidHttp("the handler returned without a response")
        if not self.complete and not self._until_close:
            raise InvalidHttp("the handler returned before its response was complete")
        if self._dropped and not self._is_head and self.head.status not in rules.BODYLESS:
            raise InvalidHttp(f"the handler wrote {self._dropped} bytes behind the end of its response")

    # --- steps: each takes from the buffer what it can, and says whether it took anything -----------------------------

    def _read_head(self, events: list[Event]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise HeadTooLarge(f"the response's head is too large: {MAX_HEAD} bytes at most")
            if len(self._buffer) >= 5 and not self._buffer.startswith(b"HTTP/"):
                raise InvalidHttp("what the handler wrote does not begin with a status: it called no send_response")
            return False
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        head = _head(lines)
        if head.interim:
            events.append(head)
            return True
        self.head = ResponseHead(head.status, self._frame(head))
        events.append(self.head)
        return True

    def _frame(self, head: ResponseHead) -> tuple[Field, ...]:
        """Set what follows (RFC 9112, 6.3); returns the fields without those that were about framing."""
        coding = rules.first(head.fields, b"transfer-encoding")
        length = rules.first(head.fields, b"content-length")
        kept = rules.end_to_end(head.fields)
        if coding is not None:
            # A length beside the chunked coding is not to be believed.
            kept = rules.without(kept, b"content-length")
        if not rules.has_body(b"HEAD" if self._is_head else b"GET", head.status):
            self.complete = True
        elif coding is not None:
            if coding.strip().lower() != b"chunked":
                raise InvalidHttp(f"the transfer coding {coding.decode('latin-1')!r} is not known")
            self._step = self._read_chunk_line
        elif length is not None:
            size = rules.content_length(length.strip())
            if size is None:
                raise InvalidHttp(f"the Content-Length {length.decode('latin-1')!r} is no number")
            self._left, self._step = size, self._read_length
            self.complete = size == 0
        else:
            self._until_close, self._step = True, self._read_all
        return kept

    def _read_all(self, events: list[Event]) -> bool:
        events.append(bytes(self._buffer))
        self._buffer.clear()
        return True

    def _read_length(self, events: list[Event]) -> bool:
        self._take(events)
        self.complete = not self._left
        return True

    def _read_chunk_line(self, events: list[Event]) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise InvalidHttp(f"the chunked body has a line {line[:40]!r} where a chunk's size is due")
        self._left = int(match[1], 16)
        self._step = self._read_chunk if self._left else self._read_trailer
        return True

    def _read_chunk(self, events: list[Event]) -> bool:
        if self._left:
            self._take(events)
            return True
        line = self._line()
        if line is None:
            return False
        if line:
            raise InvalidHttp("a chunk of the body is longer than it says")
        self._step = self._read_chunk_line
        return True

    def _read_trailer(self, events: list[Event]) -> bool:
        line = self._line()
        if line is None:
            return False
        # Trailers are dropped: a file-like answer has nobody who asked for them.
        self.complete = not line
        return True

    def _take(self, events: list[Event]) -> None:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: len(data)]
        self._left -= len(data)
        events.append(data)

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > MAX_LINE:
                raise InvalidHttp("the chunked body has a line without an end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def _head(lines: list[bytes]) -> ResponseHead:
    status = _STATUS.fullmatch(lines[0])
    if status is None:
        raise InvalidHttp(f"the response begins with {lines[0][:60]!r}, which is no status line")
    found: list[Field] = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not rules.is_token(name):
            raise InvalidHttp(f"the response's head has the line {line[:60]!r}, which is no field")
        found.append((name.lower(), value.strip(b" \t")))
    return ResponseHead(int(status[1]), tuple(found))
