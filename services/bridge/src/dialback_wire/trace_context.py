"""The fields that carry a trace from hop to hop (W3C Trace Context, level 1)."""

import re

from .messages import Field, Fields

PARENT = b"traceparent"
STATE = b"tracestate"

# 3.2.2: lower-case hexadecimal; version ff and ids of zeros are invalid; only later versions may say more.
_IDS = rb"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_VALID = re.compile(rb"00%b|(?!00|ff)[0-9a-f]{2}%b(?:-.*)?" % (_IDS, _IDS))


def is_traceparent(value: bytes) -> bool:
    """Whether `value` names a trace and a parent in it; what does not is dropped, and its `tracestate` too (4.3)."""
    return _VALID.fullmatch(value) is not None


def with_trace(fields: Fields, parent: bytes, state: bytes = b"") -> Fields:
    """The fields with this parent in place of theirs."""
    kept: list[Field] = [field for field in fields if field[0] != PARENT and field[0] != STATE]
    kept.append((PARENT, parent))
    if state:
        kept.append((STATE, state))
    return tuple(kept)
