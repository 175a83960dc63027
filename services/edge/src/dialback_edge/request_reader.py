"""What has come from a client and is not yet used: the next head, the body that is being read, pipelined requests."""

from .http_parser import check_unfinished, parse_fields, parse_line
from .request_body import Body, ChunkedBody, LengthBody
from .request_head import RequestHead, read_head
from .settings import EdgeLimits


class RequestReader:
    """Takes bytes in any split and gives out one request at a time.

    The requests of one connection often have the same fields, byte for byte. So the fields of the last one are kept
    until `forget`, which is called often enough that an idle connection holds neither their memory nor their secrets.
    """

    __slots__ = ("_at", "_input", "_last", "_last_block", "_last_raw", "_limits", "_searched", "body", "body_bytes")

    def __init__(self, limits: EdgeLimits) -> None:
        self._limits = limits
        self._input = b""
        self._at = 0
        """Where in `_input` begins what is not used yet."""
        self._searched = 0
        """How much of an unfinished head was looked at."""
        self._last: RequestHead | None = None
        self._last_raw = b""
        self._last_block = b""
        """The fields of the last head as they came, with the empty line."""
        self.body: Body | None = None
        """The body that is being read; None when there is none or it is complete."""
        self.body_bytes = 0
        """Bytes of the body so far, without its framing."""

    @property
    def waiting(self) -> int:
        """Bytes that have come and are not used yet."""
        return len(self._input) - self._at

    def keep(self, data: bytes) -> None:
        """Bytes for later."""
        self._input = self._input[self._at :] + data
        self._at = 0

    def clear(self) -> None:
        """Forget what has come, and the body."""
        self._input, self._at = b"", 0
        self.body = None

    def forget(self) -> None:
        """Let go of what was kept only because the next request might say the same."""
        if self._last is not None:
            self._last.relayed = None
            self._last, self._last_raw, self._last_block = None, b"", b""

    def has_begun(self) -> bool:
        """Whether a request has begun whose head was not complete when it was asked for."""
        return self.waiting > 0 and self._input != b"\r"

    def next_head(self) -> RequestHead | None:
        """The next request's head, once it is complete; its body is then the one to read. Raises Rejected."""
        received, at = self._input, self._at
        while received.startswith(b"\r\n", at):
            # RFC 9112, 2.2: empty lines before a request are ignored.
            at += 2
        end = received.find(b"\r\n\r\n", at + max(0, self._searched - 3)) + 4
        if end < 4:
            self._input, self._at = received[at:], 0
            if self.has_begun():
                check_unfinished(self._input, self._searched, self._limits)
                self._searched = len(self._input)
            return None
        self._searched = 0
        if end == len(received):
            self._input, self._at = b"", 0
        else:
            self._at = end
        head = self._read(received[at:end])
        length = head.body_length
        self.body = None if length == 0 else ChunkedBody() if length is None else LengthBody(length)
        self.body_bytes = 0
        return head

    def _read(self, raw: bytes) -> RequestHead:
        last = self._last
        if last is not None and raw == self._last_raw:
            return last
        method, target, minor, fields_at = parse_line(raw, self._limits)
        block = raw[fields_at:]
        # Of a target in origin-form, nothing that the fields mean depends on the request line but for its version.
        plain = target.startswith(b"/")
        if last is not None and plain and block == self._last_block and minor == last.minor:
            head = last.again(method, target)
        else:
            head = read_head(method, target, minor, parse_fields(raw, self._limits))
        if plain:
            self._last, self._last_raw, self._last_block = head, raw, block
        return head

    def take_body(self, data: bytes) -> bytes:
        """The body's bytes in `data`. What comes behind the body is kept. Raises Rejected."""
        body = self.body
        assert body is not None
        payload, rest = body.feed(data)
        self.body_bytes += len(payload)
        if body.done:
            self.body = None
            self.keep(rest)
        return payload

    def take_kept_body(self) -> bytes:
        """As `take_body`, of what came together with the head. Raises Rejected."""
        data = self._input[self._at :]
        self._input, self._at = b"", 0
        return self.take_body(data)

    def rest_is_small(self) -> bool:
        """Whether reading the rest of the body may cost less than a new connection. Unknown of a chunked one."""
        return self.body is None or self.body.remaining is None or self.body.remaining <= self._limits.discard
