"""The course of a check: ask, judge, ask again to learn the size of a buffer, compare with the direct way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from dialback.checking.analysis import Finding, Verdict, analyse
from dialback.checking.intermediaries import advice, intermediaries
from dialback.checking.marks import PROBE_HEADER
from dialback.checking.observing import CheckFailed, Observed, observe
from dialback.control_client import ControlClient
from dialback.control_models import Trace
from dialback.errors import CliError

PROBE: str = "dialback-probe"
"""The name of the function that `--probe` deploys for the time of the check."""
SEARCH = {"chunks": "160", "gap_ms": "20", "size": "1024"}
"""The second question of a probe whose chunks came together: enough to fill a buffer of 128 KiB."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. `chunks` and `gap_ms` are for probes; `seconds` is how long an endless answer is watched."""

    headers: tuple[tuple[str, str], ...] = ()
    chunks: int = 10
    gap_ms: int = 100
    kind: str = "text/plain"
    seconds: float = 30.0
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Way:
    """One address that was asked, and what came of it."""

    label: str
    seen: Observed
    finding: Finding


@dataclass(frozen=True, slots=True)
class Checked:
    """The result."""

    way: Way
    direct: Way | None
    where: str
    names: tuple[str, ...]
    advice: tuple[str, ...]


class Check:
    """`note` is told what is being done. `client`: a platform that may be asked for traces, if there is one."""

    def __init__(self, wanted: Wanted, client: ControlClient | None, note: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._client = client
        self._note = note

    def run(self, url: str, direct: str | None) -> Checked:
        """Raises what `observe` raises."""
        way = self._ask("here", url)
        other = self._ask("direct", direct) if direct is not None else None
        trace = self._trace(way.seen)
        names = intermediaries(way.seen.headers)
        where = _where(way, other, trace, names)
        return Checked(way, other, where, names, () if way.finding.good else advice(names))

    def _ask(self, label: str, url: str) -> Way:
        wanted = self._wanted
        asked = with_query(url, {"chunks": str(wanted.chunks), "gap_ms": str(wanted.gap_ms), "type": wanted.kind})
        # Only a probe knows these words; another function gets its address as it was given.
        seen = self._observe(label, asked if _is_probe(url) else url)
        if seen.header(PROBE_HEADER) and not _is_probe(url):
            seen = self._observe(label, asked)
        finding = analyse(seen)
        if finding.verdict is Verdict.BLOCKS and finding.block is None:
            # Bursts that no buffer explains may be a busy machine's: what is really there is there again.
            again = self._observe(label, seen.url)
            if analyse(again).good:
                seen, finding = again, analyse(again)
        if finding.verdict is Verdict.BUFFERED and seen.header(PROBE_HEADER):
            more = analyse(self._observe(label, with_query(asked, SEARCH)))
            if more.verdict is Verdict.BLOCKS:
                reasons = (*finding.reasons, *(reason for reason in more.reasons if reason not in finding.reasons))
                finding = Finding(Verdict.BLOCKS, reasons, finding.notes, more.block, finding.longest_wait)
        return Way(label, seen, finding)

    def _observe(self, label: str, url: str) -> Observed:
        wanted = self._wanted
        self._note(f"{label}: asking {url}")
        seen = observe(
            url,
            list(wanted.headers),
            wanted.seconds,
            wanted.verify,
            lambda now: self._note(f"{label}: {now.received:,} bytes in {len(now.arrivals)} pieces"),
        )
        if seen.status >= 300:
            raise CheckFailed(f"{url} answered {seen.status}", hint="name the address of a stream that answers 200")
        if not seen.arrivals:
            raise CheckFailed(f"{url} answered {seen.status} without a body")
        return seen

    def _trace(self, seen: Observed) -> Trace | None:
        """What the platform saw of it, if it is ours."""
        invocation = seen.header("x-dialback-id")
        if self._client is None or not (invocation.isascii() and invocation.isalnum()):
            return None
        try:
            return self._client.trace(invocation)
        except CliError:
            return None


def with_query(url: str, values: dict[str, str]) -> str:
    """`url` with these values in its query, in the place of others of their names."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in values]
    return urlunsplit(parts._replace(query=urlencode([*kept, *values.items()])))


def _is_probe(url: str) -> bool:
    return f"/@{PROBE}/" in url


def _where(way: Way, direct: Way | None, trace: Trace | None, names: tuple[str, ...]) -> str:
    """Where on the way it happens, as far as that can be told."""
    if way.finding.verdict is Verdict.UNCLEAR:
        return ""
    if way.finding.good:
        return "nowhere: the whole way streams"
    suspects = f" ({', '.join(names)})" if names else ""
    if direct is not None and direct.finding.good:
        return f"between {_origin(direct.seen.url)} and {_origin(way.seen.url)}{suspects}"
    if direct is not None and direct.finding.verdict is way.finding.verdict:
        return f"at {_origin(direct.seen.url)} already{_inside(trace)}"
    if trace is not None:
        left = _left_as_a_stream(trace)
        if left:
            return f"between Dialback's edge and here{suspects}: it left the edge as a stream"
        if left is False:
            return f"before Dialback's edge: it left there at once{_inside(trace)}"
    return f"somewhere on the way{suspects}; --direct URL of the server itself would tell"


def _inside(trace: Trace | None) -> str:
    return f" (the function's mode is {trace.mode})" if trace is not None and trace.mode == "buffered" else ""


def _left_as_a_stream(trace: Trace) -> bool | None:
    """Whether the edge sent it over a time; None when the trace does not say."""
    first, last = trace.at("first_byte"), trace.at("last_byte")
    if first is None or last is None or not trace.chunks:
        return None
    return trace.chunks > 1 and last - first > 0.2 * last


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
