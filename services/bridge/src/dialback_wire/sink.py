"""What the owner of a stream is told."""

from typing import Protocol

from .messages import Accept, End, Fields, Head, Info, Reason, Verdict


class StreamSink(Protocol):
    """The owner of a stream. All calls come on the loop's thread; none may block.

    An exception out of any of them resets this stream and no other. `on_refuse`, `on_answer`, `on_lost` and `on_closed`
    are last words; so is `on_end` for the seat that asks. Every stream has exactly one, and nothing is said behind it;
    only the owner that refuses a stream itself is told nothing.
    """

    def on_accept(self, accept: Accept) -> None:
        """Opener with a token: it was accepted."""

    def on_refuse(self, code: int, reason: str) -> None:
        """Opener: the stream was not let in; nothing has run."""

    def on_info(self, info: Info) -> None:
        """Asker: an interim response."""

    def on_head(self, head: Head) -> None:
        """Asker: the response's head as it came; `fields.check_response_head` makes it fit for a client."""

    def on_data(self, data: bytes) -> None:
        """A piece of the body, never empty. `stream.consumed(len(data))` is owed once they have gone on."""

    def on_trailers(self, fields: Fields) -> None:
        """Trailer fields."""

    def on_end(self, end: End) -> None:
        """Asker: the response ended and the stream is over. Answerer: the request's body ended."""

    def on_answer(self, head: Head, body: bytes) -> None:
        """Asker: the whole response, which ended well; the stream is over. `head` is as in `on_head`.

        If this raises, `on_lost` is the last word.
        """

    def on_cancel(self, reason: Reason, detail: str) -> None:
        """Answerer: nobody wants the rest. `stream.end(...)` is still owed."""

    def on_credit(self) -> None:
        """The other side's first WINDOW on this stream: it has begun to take what we send."""

    def on_sent(self, count: int) -> None:
        """`count` bytes of what was written have left the queue."""

    def on_closed(self) -> None:
        """Answerer: the carrier took our END, behind everything else; the stream is over."""

    def on_lost(self, why: str) -> None:
        """The carrier died, or this side gave the stream up; the stream is over."""


class BaseSink:
    """A sink that does nothing, and takes a whole response apart. Owners inherit it and answer what concerns them."""

    __slots__ = ()

    def on_accept(self, accept: Accept) -> None:
        """Nothing."""

    def on_refuse(self, code: int, reason: str) -> None:
        """Nothing."""

    def on_info(self, info: Info) -> None:
        """Nothing."""

    def on_head(self, head: Head) -> None:
        """Nothing."""

    def on_data(self, data: bytes) -> None:
        """Nothing: without `consumed`, the sender stops at its window."""

    def on_trailers(self, fields: Fields) -> None:
        """Nothing."""

    def on_end(self, end: End) -> None:
        """Nothing."""

    def on_answer(self, head: Head, body: bytes) -> None:
        """Head, data and end, one after the other."""
        self.on_head(head)
        if body:
            self.on_data(body)
        self.on_end(End(Verdict.OK, len(body)))

    def on_cancel(self, reason: Reason, detail: str) -> None:
        """Nothing."""

    def on_credit(self) -> None:
        """Nothing."""

    def on_sent(self, count: int) -> None:
        """Nothing."""

    def on_closed(self) -> None:
        """Nothing."""

    def on_lost(self, why: str) -> None:
        """Nothing."""
