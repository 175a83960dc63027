"""The code inside a Dialback worker: it takes invocations from a runtime that cannot stream, dials back, and streams.

`python -m dialback_bridge worker` serves the function in the working directory, `python -m dialback_bridge inspect`
says what the function is. Where to look:

- `launch`, `watchdog`, `worker`: how a worker is told what it is, how it ends with its platform, how the parts are
  joined
- `discovery`, `entry`: which object of the user's code answers requests
- `runtime_client`, `http_pool`, `http_connection`: taking invocations from the runtime API
- `callback_url`, `receiver_socket`, `stream_socket`, `web_socket`, `receivers`: dialling back, and only where allowed
- `invocation`, `runs`, `exchange`, `stream_exchange`, `buffered_exchange`: one invocation from payload to verdict
- `handlers`: how each style of user code is called; `request`, `response`, `headers`: what `fetch` gets and gives
- `context`, `background`: what user code knows of its invocation, and what it leaves to be done behind the response
- `streams`: what user code streams with
- `testing`: calling a function in the tests of its author
- `log_capture`: whose line is it, when several invocations print at once

For the authors of functions there are the names in `__all__`. They are loaded when they are first asked for: a function
that uses none of them does not pay for them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .background import wait_until
    from .context import CurrentInvocation, NoInvocation, current_invocation
    from .exchange import ClientGone
    from .headers import Headers
    from .request import Request
    from .response import Response
    from .streams.events import Event, event_stream
    from .streams.lines import json_lines
    from .streams.merging import merge

__all__ = [
    "ClientGone",
    "CurrentInvocation",
    "Event",
    "Headers",
    "NoInvocation",
    "Request",
    "Response",
    "current_invocation",
    "event_stream",
    "json_lines",
    "merge",
    "wait_until",
]

_HOMES = {
    "ClientGone": "exchange",
    "CurrentInvocation": "context",
    "Event": "streams.events",
    "Headers": "headers",
    "NoInvocation": "context",
    "Request": "request",
    "Response": "response",
    "current_invocation": "context",
    "event_stream": "streams.events",
    "json_lines": "streams.lines",
    "merge": "streams.merging",
    "wait_until": "background",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
