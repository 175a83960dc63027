"""What a check concludes from times, sizes and headers."""

import importlib.util
from typing import Any

import pytest
from rich.console import Console

import dialback.checking.session as course
from dialback.checking.analysis import Finding, Verdict, analyse
from dialback.checking.check_view import check_json, check_lines
from dialback.checking.intermediaries import advice, intermediaries
from dialback.checking.marks import LONGEST, Mark, MarkReader
from dialback.checking.observing import Observed
from dialback.checking.options import wanted_of
from dialback.checking.probe import FOLDER
from dialback.checking.session import Checked, Way, with_query
from dialback.control_models import Mark as TraceMark
from dialback.control_models import Trace
from dialback.errors import UsageProblem

PROBED = [("dialback-probe", "1"), ("cache-control", "no-cache, no-transform")]


def probed(came: list[float], *headers: tuple[str, str], size: int = 100, gap: float = 0.1, **more: Any) -> Observed:
    """Marks that were sent `gap` apart and came at these times."""
    marks = [Mark(n + 1, len(came), 1e9 + n * gap, at, True) for n, at in enumerate(came)]
    arrivals = [(at, size) for at in came]
    return Observed("http://x/", 200, "HTTP/1.1", [*PROBED, *headers], came[0], arrivals, marks, **more)


def plain(arrivals: list[tuple[float, int]], *headers: tuple[str, str]) -> Observed:
    return Observed("http://x/", 200, "HTTP/1.1", list(headers), arrivals[0][0], arrivals)


STEADY = [0.05 + n * 0.1 for n in range(10)]


def test_chunks_that_come_as_they_were_sent_are_a_stream() -> None:
    found = analyse(probed(STEADY))
    assert (found.verdict, found.good) == (Verdict.STREAMS, True)
    assert found.longest_wait == pytest.approx(0, abs=1e-6)
    assert analyse(probed([at + 3 for at in STEADY])).good, "a long way is no buffer"
    assert analyse(probed([at + 0.02 * (n % 2) for n, at in enumerate(STEADY)])).good, "nor is some unrest"


def test_chunks_that_come_together_at_the_end_were_buffered() -> None:
    found = analyse(probed([0.95 + n * 0.001 for n in range(10)]))
    assert found.verdict is Verdict.BUFFERED
    assert found.reasons == ("10 chunks, sent over 900 ms, arrived within 9.0 ms",)
    assert found.longest_wait == pytest.approx(0.891)


@pytest.mark.parametrize("block", [4096, 8192, 16384])
def test_chunks_that_come_in_bursts_tell_the_size_of_the_buffer(block: int) -> None:
    per_burst = block // 1024
    came = [0.02 * (n // per_burst + 1) * per_burst for n in range(160)]
    found = analyse(probed(came, size=1024, gap=0.02))
    assert (found.verdict, found.block) == (Verdict.BLOCKS, block)
    assert "about" in found.reasons[0]


def test_bursts_of_no_usual_size_are_still_bursts() -> None:
    found = analyse(probed([0.3] * 3 + [0.6] * 3 + [0.9] * 3 + [1.2], size=900))
    assert (found.verdict, found.block) == (Verdict.BLOCKS, None)


def test_what_was_done_to_the_bytes_is_said() -> None:
    changed = [
        (probed(STEADY, ("content-encoding", "gzip")), "something compressed it"),
        (probed(STEADY, ("content-length", "1000")), "content-length was added"),
        (probed(STEADY, strange=2), "text was added"),
        (probed(STEADY, cut="peer closed"), "cut short after 1000 B: peer closed"),
    ]
    lost = probed(STEADY)
    lost.headers = [("dialback-probe", "1"), ("cache-control", "no-cache")]
    changed.append((lost, "lost its no-transform"))
    broken = probed(STEADY)
    broken.marks[2] = Mark(3, 10, 1e9 + 0.2, STEADY[2], False)
    changed.append((broken, "1 of 10 chunks were changed"))
    swapped = probed(STEADY)
    swapped.marks[3] = Mark(9, 10, 1e9 + 0.3, STEADY[3], True)
    changed.append((swapped, "missing, repeated or out of order"))
    short = probed(STEADY)
    del short.marks[8:]
    changed.append((short, "2 chunks are missing at the end"))
    for seen, why in changed:
        found = analyse(seen)
        assert found.verdict is Verdict.CHANGED, why
        assert why in found.reasons[0]


def test_what_one_should_know_is_noted() -> None:
    seen = plain(
        [(n * 0.2, 10) for n in range(10)],
        *(("content-encoding", "br"), ("age", "5"), ("x-accel-buffering", "no")),
    )
    seen.version, seen.unread = "HTTP/1.0", "br"
    said = "\n".join(analyse(seen).notes)
    for words in (
        "HTTP/1.0",
        "compressed (br)",
        "from a cache: age: 5",
        "x-accel-buffering: no",
        "could not be read: br",
    ):
        assert words in said


def test_too_few_marks_tell_nothing_unless_the_pieces_do() -> None:
    assert analyse(probed([0.1])).verdict is Verdict.UNCLEAR
    unread = plain([(n * 0.2, 10) for n in range(10)], *PROBED, ("content-encoding", "br"))
    unread.unread = "br"
    assert analyse(unread).verdict is Verdict.CHANGED


def test_without_marks_the_pieces_are_judged() -> None:
    assert analyse(plain([(n * 0.2, 37 * n + 5) for n in range(10)])).verdict is Verdict.STREAMS
    assert analyse(plain([(0.1, 10), (0.2, 10)])).verdict is Verdict.UNCLEAR
    assert analyse(plain([(0.8, 10)])).verdict is Verdict.UNCLEAR
    assert analyse(plain([(4.0, 10), (4.01, 10)])).verdict is Verdict.BUFFERED
    found = analyse(plain([(n * 0.3, 4096) for n in range(10)]))
    assert (found.verdict, found.block) == (Verdict.BLOCKS, 4096)


def test_the_probe_sends_what_the_reader_reads() -> None:
    spec = importlib.util.spec_from_file_location("probe_template", FOLDER / "app.py")
    assert spec is not None
    assert spec.loader is not None
    probe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(probe)
    reader = MarkReader()
    for index in (1, 2):
        raw = ("data: " + probe.mark(index, 2, 1000) + "\n\n").encode()
        assert abs(len(raw) - 1000) < 20
        reader.feed(raw[:500], 1.0)
        reader.feed(raw[500:], 2.0)
    assert [(mark.index, mark.count, mark.at, mark.whole) for mark in reader.marks] == [
        (1, 2, 2.0, True),
        (2, 2, 2.0, True),
    ]
    assert reader.strange == 0
    reader.feed(probe.mark(3, 3, 60).encode().replace(b"3/3", b"3/4") + b"\nadvertisement\n", 3.0)
    assert not reader.marks[-1].whole
    assert reader.strange == 1
    reader.feed(b"x" * (LONGEST + 1), 4.0)
    assert reader.strange == 2


def test_who_is_on_the_way_is_read_from_headers() -> None:
    names = intermediaries(
        [("via", "1.1 varnish, 1.1 proxy\x1b"), ("server", "nginx/1.22.1"), ("cf-ray", "1"), ("x-cache", "HIT")]
    )
    assert names == ("via 1.1 varnish", "via 1.1 proxy\\x1b", "nginx/1.22.1", "Cloudflare", "a cache")
    assert [text.split(":")[0] for text in advice(names)] == ["nginx", "Cloudflare"]


def way(verdict: Verdict, url: str = "http://far.example/@f/", label: str = "here") -> Way:
    seen = probed(STEADY)
    seen.url = url
    return Way(label, seen, Finding(verdict, ("because of this",), ("a note",)))


def trace(first: float, last: float, chunks: int, mode: str = "callback") -> Trace:
    marks = (TraceMark(name="first_byte", t=first), TraceMark(name="last_byte", t=last))
    return Trace(id="a", marks=marks, chunks=chunks, mode=mode)


BAD, GOOD = Verdict.BUFFERED, Verdict.STREAMS
NEAR = "http://near.example/@f/"


@pytest.mark.parametrize(
    ("here", "direct", "seen", "where"),
    [
        (GOOD, None, None, "the whole way streams"),
        (Verdict.UNCLEAR, None, None, ""),
        (BAD, GOOD, None, "between http://near.example and http://far.example (nginx)"),
        (BAD, BAD, None, "at http://near.example already"),
        (BAD, BAD, trace(900, 900, 1, "buffered"), "at http://near.example already (the function's mode is buffered)"),
        (BAD, None, trace(10, 900, 10), "between Dialback's edge and here (nginx): it left the edge as a stream"),
        (BAD, None, trace(900, 900, 1), "before Dialback's edge: it left there at once"),
        (BAD, None, Trace(id="a"), "somewhere on the way (nginx); --direct URL"),
        (BAD, None, None, "somewhere on the way (nginx); --direct URL"),
    ],
)
def test_where_it_happens_is_told_as_far_as_it_can_be(
    here: Verdict, direct: Verdict | None, seen: Trace | None, where: str
) -> None:
    other = None if direct is None else way(direct, NEAR, "direct")
    said = course._where(way(here), other, seen, ("nginx",))
    assert said.startswith(where) if not where.startswith("the") else where in said


def test_the_result_is_shown_and_printed() -> None:
    checked = Checked(way(BAD), way(Verdict.BLOCKS, NEAR, "direct"), "somewhere", ("nginx",), ("do this",))
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for line in check_lines(checked, 100):
        console.print(line, soft_wrap=True)
    console.file.close()
    text = console.export_text()
    for words in (
        "buffered",
        "because of this",
        "a note",
        "in blocks",
        "somewhere",
        "nginx",
        "do this",
        "sent",
        "came",
    ):
        assert words in text
    value = check_json(checked)
    assert (value["verdict"], value["good"], len(value["ways"])) == ("buffered", False, 2)  # type: ignore[arg-type]
    unclear = Checked(Way("here", plain([(0.1, 5)]), Finding(Verdict.UNCLEAR)), None, "", (), ())
    assert "--probe" in "".join(line.plain for line in check_lines(unclear, 100))


def test_a_query_is_changed_in_place() -> None:
    assert with_query("http://x/p?a=1&chunks=5&b=", {"chunks": "9"}) == "http://x/p?a=1&b=&chunks=9"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "image/png"}, "--type"),
        ({"gap": "100"}, "--gap"),
        ({"gap": "1ms"}, "--gap: 1ms is out of range"),
        ({"longest": "soon"}, "--for"),
        ({"headers": ["nonsense"]}, "-H"),
    ],
)
def test_options_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {"gap": "100ms", "kind": "text/plain", "headers": ["a: b"], "longest": "30s"}
    with pytest.raises(UsageProblem, match=message):
        wanted_of(chunks=10, verify=True, **(usual | values))


def test_bursts_that_no_buffer_explains_are_looked_at_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = [0.3] * 3 + [0.6] * 3 + [0.9] * 3 + [1.2]
    for then, verdict in ((STEADY, Verdict.STREAMS), (busy, Verdict.BLOCKS)):
        answers = [probed(busy, size=900), probed(then, size=900)]
        monkeypatch.setattr(course, "observe", lambda *_, answers=answers: answers.pop(0))
        check = course.Check(course.Wanted(), None, lambda _: None)
        assert check.run(f"http://x/@{course.PROBE}/", None).way.finding.verdict is verdict
        assert answers == []
