"""Lists every frame of an invocation, and shows the payload that it was stamped into."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue
from rich.console import RenderableType
from rich.json import JSON
from rich.table import Table
from rich.text import Text

from dialback.control_models import Trace
from dialback.terminal import ACCENT, QUIET, milliseconds, safe, size
from dialback_wire.tokens import redact

ARROWS = {"up": "▲", "down": "▼"}
TYPES = {
    "HEAD": "green",
    "DATA": "default",
    "END": "bold",
    "ANSWER": "green",
    "CANCEL": "yellow",
    "REFUSE": "red",
    "WINDOW": QUIET,
    "PING": QUIET,
}


def frame_parts(trace: Trace) -> Iterator[RenderableType]:
    """The table of frames, and the payload as JSON."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=QUIET)
    for name in ("  at", "hop", "", "frame", "stream", "size"):
        table.add_column(name, justify="right" if name in ("  at", "stream", "size") else "left", no_wrap=True)
    for frame in trace.frames:
        table.add_row(
            Text("  " + milliseconds(frame.t), QUIET),
            safe(frame.hop),
            Text(ARROWS.get(frame.direction, safe(frame.direction)), ACCENT),
            Text(safe(frame.type), TYPES.get(frame.type, "default")),
            "" if frame.stream is None else str(frame.stream),
            size(frame.size),
        )
    yield Text(f"  {len(trace.frames):,} frames (▲ towards the client, ▼ towards the worker)", "bold")
    yield table
    if trace.frames_dropped:
        yield Text(f"  {trace.frames_dropped:,} more were not kept", QUIET)
    if trace.payload is not None:
        yield Text("\n  payload", "bold")
        yield JSON.from_data(redacted(trace.payload), indent=2, ensure_ascii=True)


def redacted(value: JsonValue) -> JsonValue:
    """The same value without the secret of any callback token; the platform leaves it out, this makes sure."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if isinstance(value, dict):
        return {redact(key): redacted(item) for key, item in value.items()}
    return value
