"""The access log never delays a request."""

import io
import json
import threading

from dialback_edge.access_log import AccessRecord, LineLog, no_log


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


def test_lines_are_written_and_flushed_at_the_close() -> None:
    stream = io.StringIO()
    log = LineLog(stream)
    for number in range(3):
        log(record(f"/{number}"))
    log.close()
    assert [json.loads(line)["path"] for line in stream.getvalue().splitlines()] == ["/0", "/1", "/2"]


def test_a_blocked_pipe_drops_lines_and_says_how_many() -> None:
    class Blocked(io.StringIO):
        gate = threading.Event()
        writing = threading.Event()

        def write(self, text: str) -> int:
            self.writing.set()
            self.gate.wait(5)
            return super().write(text)

    stream = Blocked()
    log = LineLog(stream, limit=2)
    log(record("/0"))
    assert stream.writing.wait(5)
    for number in range(1, 6):
        log(record(f"/{number}"))
    assert log.dropped == 3
    log.close(timeout=0.01)
    stream.gate.set()
    log.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["path"] for line in lines if "path" in line] == ["/0", "/1", "/2"]
    assert sum(line.get("access_log_dropped", 0) for line in lines) == 3


def test_a_full_disk_is_counted() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log = LineLog(Full())
    log(record())
    log.close()
    assert log.dropped >= 1
