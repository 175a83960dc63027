"""What has come from a client and is not yet used: the next head, the body that is being read, pipelined requests."""

from .http_parser import find_head_end
from .request_body import Body, ChunkedBody, LengthBody
from .request_head import RequestHead, read_head
from .settings import EdgeLimits


class RequestReader:
    """Takes bytes in any split and gives out one request at a time."""

    __slots__ = ("_input", "_limits", "_searched", "body", "body_bytes")

    def __init__(self, limits: EdgeLimits) -> None:
        self._limits = limits
        self._input = bytearray()
        self._searched = 0
        self.body: Body | None = None
        """The body that is being read; None when there is none or it is complete."""
        self.body_bytes = 0
        """Bytes of the body so far, without its framing."""

    @property
    def waiting(self) -> int:
        """Bytes that have come and are not used yet."""
        return len(self._input)

    def keep(self, data: bytes) -> None:
        """Bytes for later."""
        self._input += data

    def clear(self) -> None:
        """Forget what has come, and the body."""
        self._input.clear()
        self.body = None

    def has_begun(self) -> bool:
        """Whether a request has begun. RFC 9112, 2.2: empty lines before it are ignored."""
        while self._input.startswith(b"\r\n"):
            del self._input[:2]
        return bool(self._input) and self._input != b"\r"

    def next_head(self) -> RequestHead | None:
        """The next request's head, once it is complete; its body is then the one to read. Raises Rejected."""
        end = find_head_end(self._input, self._searched, self._limits)
        if end < 0:
            self._searched = len(self._input)
            return None
        raw = bytes(self._input[:end])
        del self._input[:end]
        self._searched = 0
        head = read_head(raw, self._limits)
        length = head.body_length
        self.body = None if length == 0 else ChunkedBody() if length is None else LengthBody(length)
        self.body_bytes = 0
        return head

    def take_body(self, data: bytes) -> bytes:
        """The body's bytes in `data`. What comes behind the body is kept. Raises Rejected."""
        body = self.body
        assert body is not None
        payload, rest = body.feed(data)
        self.body_bytes += len(payload)
        if body.done:
            self.body = None
            self._input += rest
        return payload

    def take_kept_body(self) -> bytes:
        """As `take_body`, of what came together with the head. Raises Rejected."""
        data = bytes(self._input)
        self._input.clear()
        return self.take_body(data)

    def rest_is_small(self) -> bool:
        """Whether reading the rest of the body may cost less than a new connection. Unknown of a chunked one."""
        return self.body is None or self.body.remaining is None or self.body.remaining <= self._limits.discard
