"""One line for each request."""

import json

from dialback_edge.access_log import AccessRecord, no_log


def record(path: str = "/x") -> AccessRecord:
    return AccessRecord(1.0, "id", "1.2.3.4:5", "GET", "h", path, 200, "--", 1, 2, 0.5, 1.0)


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
