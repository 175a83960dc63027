"""The request's body on its way from the client to the worker: whole into the payload, or streamed."""

import asyncio

from dialback_invoker.errors import PayloadTooLarge
from dialback_wire.messages import End, Fields, Verdict
from dialback_wire.stream import Stream


class UploadBroken(Exception):
    """The client did not send all of its body."""


class Upload:
    """The body of one request. Nothing is read from the client beyond one window until somebody wants it."""

    def __init__(self, client: Stream, length: int | None) -> None:
        self.length = length
        self._client = client
        self._worker: Stream | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._limit: int | None = None
        self._end: End | None = End(Verdict.OK) if length == 0 else None
        self._trailers: Fields = ()
        self._whole: asyncio.Future[bytes] | None = None
        self.streams = False
        """Whether the body goes to the worker as a stream."""

    # --- whole --------------------------------------------------------------------------------------------------------

    async def whole(self, limit: int) -> bytes:
        """The whole body. Raises PayloadTooLarge over `limit` bytes, UploadBroken when it was cut short."""
        if self.length is not None and self.length > limit:
            raise PayloadTooLarge(f"a body of {self.length} bytes; {limit} bytes at most are handled as one value")
        self._limit = limit
        self._whole = asyncio.get_running_loop().create_future()
        if self._end is None:
            self._client.invite()
        held = self._size
        if held:
            self._client.consumed(held)
        self._check_whole()
        return await self._whole

    def _check_whole(self) -> None:
        whole, limit = self._whole, self._limit
        if whole is None or limit is None or whole.done():
            return
        if self._size > limit:
            whole.set_exception(PayloadTooLarge(f"a body over {limit} bytes; no more are handled as one value"))
        elif self._end is not None:
            if self._end.verdict is Verdict.OK:
                whole.set_result(b"".join(self._pieces))
                self._pieces = []
            else:
                whole.set_exception(UploadBroken(self._end.detail or "the body was cut short"))

    # --- streamed -----------------------------------------------------------------------------------------------------

    def stream_into(self, worker: Stream) -> None:
        """From now on everything goes to the worker as it comes, as fast as the worker takes it."""
        self._worker = worker
        for piece in self._pieces:
            worker.write(piece)
        self._pieces = []
        if self._end is not None:
            self._finish(worker, self._end)

    def taken(self, count: int) -> None:
        """`count` bytes have gone on to the worker."""
        self._client.consumed(count)

    def wanted(self) -> None:
        """The worker has begun to read."""
        self._client.invite()

    def _finish(self, worker: Stream, end: End) -> None:
        if self._trailers:
            worker.trailers(self._trailers)
        worker.end(end.verdict, code=end.code, detail=end.detail)

    # --- from the client ----------------------------------------------------------------------------------------------

    def data(self, data: bytes) -> None:
        """A piece came."""
        if self._worker is not None:
            self._worker.write(data)
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._whole is not None:
            self._client.consumed(len(data))
            self._check_whole()

    def trailers(self, fields: Fields) -> None:
        """Trailer fields came."""
        self._trailers = fields

    def end(self, end: End) -> None:
        """The body is over, well or not."""
        self._end = end
        if self._worker is not None:
            self._finish(self._worker, end)
        self._check_whole()

    def abandon(self) -> None:
        """The client is gone: whoever waits for the whole body waits no more."""
        if self._end is None:
            self._end = End(Verdict.TRUNCATED, detail="the client left")
            self._check_whole()
        self._pieces = []
