"""JSON Lines: a stream of values, one a line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from .. import lambda_values
from ..headers import Headers
from ..response import Response
from .both_ways import BothWays
from .events import UNTOUCHED
from .fan import Fan
from .source import Source, check_source

TYPE = "application/x-ndjson"


def json_lines(source: Source) -> JsonLines:
    """A response of one line of JSON for each item of `source`, each sent as it comes.

    The same object is a `Response` for `fetch`, an asynchronous iterable of bytes for ASGI frameworks and a synchronous
    one for WSGI; `headers` goes with it there. When the source fails, the response is cut off, which clients see.

        return json_lines(rows())                                               # fetch
        return StreamingResponse(lines, headers=lines.headers)                  # Starlette, FastAPI
        return StreamingHttpResponse(aiter(lines), headers=lines.headers)       # Django under ASGI
        return flask.Response(lines, headers=lines.headers)                     # Flask
    """
    check_source(source)
    return JsonLines(source)


class JsonLines(BothWays, Response):
    """Made by `json_lines`."""

    def __init__(self, source: Source) -> None:
        BothWays.__init__(self, source)
        self.headers = Headers({"content-type": TYPE, **UNTOUCHED})
        self.status = 200

    @property
    def body(self) -> JsonLines:
        """The stream itself."""
        return self

    def items(self) -> AsyncGenerator[Any, None]:
        return _lines(self.sources)


async def _lines(sources: tuple[Source, ...]) -> AsyncGenerator[bytes, None]:
    fan = Fan(sources, one_lane=True, size=1)
    try:
        while not fan.over:
            found = fan.take()
            if found is None:
                await fan.wait()
            elif found[0] is not None:
                yield lambda_values.to_json(found[0]) + b"\n"
    finally:
        await fan.stop()
