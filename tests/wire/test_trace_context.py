"""W3C Trace Context: which parents are believed, and how ours takes their place."""

import pytest

from dialback_wire.trace_context import is_traceparent, with_trace

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    "value",
    [f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00", f"cc-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-later"],
)
def test_a_parent_of_this_or_a_later_version_is_believed(value: str) -> None:
    assert is_traceparent(value.encode())


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01-later",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01later",
        f"00-{TRACE}-{PARENT}-01, 00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
    ],
)
def test_anything_else_is_not(value: str) -> None:
    assert not is_traceparent(value.encode())


def test_a_parent_of_ours_takes_the_place_of_theirs() -> None:
    fields = ((b"a", b"1"), (b"traceparent", b"x"), (b"tracestate", b"y"), (b"traceparent", b"z"), (b"b", b"2"))
    assert with_trace(fields, b"new") == ((b"a", b"1"), (b"b", b"2"), (b"traceparent", b"new"))
    assert with_trace((), b"new", b"s=1") == ((b"traceparent", b"new"), (b"tracestate", b"s=1"))
