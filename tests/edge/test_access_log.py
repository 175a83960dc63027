"""One line for each request."""

import json

import pytest
from edge_kit import Front
from hypothesis import given
from hypothesis import strategies as st

from dialback_edge.access_log import AccessRecord, no_log
from dialback_edge.verdicts import ended_by
from dialback_wire.messages import Verdict


def record(path: str = "/x") -> AccessRecord:
    return AccessRecord(1.0, "id", "1.2.3.4:5", "GET", "h", path, 200, "--", 1, 2, 0.5, 1.0)


times = st.floats(0, 1e10, allow_nan=False)


@given(st.lists(st.text(max_size=8), min_size=8, max_size=8), times | st.none(), times, st.integers(0, 10**15))
def test_whatever_a_record_holds_its_line_is_the_json_of_it(
    texts: list[str], head: float | None, took: float, number: int
) -> None:
    ident, client, method, host, path, code, detail, by = texts
    record = AccessRecord(
        took, ident, client, method, host, path, 200, code, number, number, head, took, detail=detail, by=by
    )
    said = json.dumps(
        {"at": round(took, 3), "id": ident, "client": client, "method": method, "host": host, "path": path}
        | {"status": 200, "code": code}
        | ({"by": by} if by else {})
        | {"bytes_in": number, "bytes_out": number}
        | {"head_ms": None if head is None else round(head * 1000, 2), "duration_ms": round(took * 1000, 2)}
        | ({"detail": detail} if detail else {})
    )
    assert record.line() == said


def test_a_record_is_one_line_of_json() -> None:
    line = record("/a\nb\x1b[31m").line()
    assert "\n" not in line
    assert "\x1b" not in line
    assert json.loads(line) == {
        "at": 1.0,
        "id": "id",
        "client": "1.2.3.4:5",
        "method": "GET",
        "host": "h",
        "path": "/a\nb\x1b[31m",
        "status": 200,
        "code": "--",
        "bytes_in": 1,
        "bytes_out": 2,
        "head_ms": 500.0,
        "duration_ms": 1000.0,
    }
    failed = record()
    failed.detail, failed.head_after = "why", None
    assert json.loads(failed.line())["detail"] == "why"
    assert json.loads(failed.line())["head_ms"] is None
    no_log(failed)
    failed.code, failed.by = "FD", "function"
    assert json.loads(failed.line())["by"] == "function"


@pytest.mark.parametrize(
    ("code", "upstream", "by"),
    [
        ("CD", False, "client"),
        ("cR", False, "client"),
        ("FH", True, "function"),
        ("sH", True, "function"),
        ("sL", True, "worker"),
        ("sW", True, "worker"),
        ("SD", True, "worker"),
        ("PR", False, "edge"),
        ("PH", True, "invoker"),
        ("KH", False, "edge"),
        ("RQ", True, "invoker"),
        ("ID", True, "invoker"),
        ("IR", False, "edge"),
    ],
)
def test_every_code_has_somebody_who_ended_it(code: str, upstream: bool, by: str) -> None:
    assert ended_by(code, upstream=upstream) == by


async def test_what_the_edge_and_what_the_invoker_decided_are_told_apart(front: Front) -> None:
    await front.ask(b"GET /_dialback/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    client = await front.client(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    (await front.invoker.call()).stream.end(Verdict.ERROR, status=404, code="no_function")
    await client.answer()
    await front.log.until(lambda: len(front.log.codes) == 2)
    assert [(record.code, record.by) for record in front.log.all] == [("LR", "edge"), ("LR", "invoker")]
