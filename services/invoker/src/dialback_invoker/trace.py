"""One invocation as people see it: a summary for lists and the log, and the whole trace."""

from dialback_invoker import stamp
from dialback_invoker.exchange import CHECKED_BYTES, Exchange
from dialback_invoker.outcome import Outcome
from dialback_invoker.recorded_request import recorded
from dialback_invoker.tracing import InvocationSpan
from dialback_wire.messages import Request, Verdict

_WORDS = {verdict: verdict.name.lower() for verdict in Verdict}


class Invocation:
    """What is known of one request, from its arrival to its record."""

    __slots__ = (
        "body",
        "cold",
        "deployment",
        "exchange",
        "function",
        "mode",
        "outcome",
        "payload",
        "request",
        "span",
        "worker",
    )

    def __init__(self, request: Request, exchange: Exchange) -> None:
        self.request = request
        self.exchange = exchange
        self.function = ""
        self.deployment = ""
        self.mode = ""
        self.worker = ""
        self.cold = False
        self.payload: bytes | None = None
        """The stamped payload, encoded. It holds the token and may hold credentials, which no trace shows."""
        self.body: bytes | None = None
        """The request's body, where it was short enough to be kept for the record."""
        self.outcome: Outcome | None = None
        """None while it runs."""
        self.span: InvocationSpan | None = None
        """None where traces are not configured."""

    @property
    def path(self) -> str:
        """The path without the query, which may hold secrets."""
        return self.request.target.partition(b"?")[0].decode("latin-1")

    def summary(self) -> dict[str, object]:
        """A row of a list. Times in milliseconds after `received`, sizes in bytes of body."""
        outcome, exchange = self.outcome, self.exchange
        timeline = exchange.timeline
        if outcome is None:
            status, verdict, cause, code, error, detail = exchange.status, "running", "", "", "", ""
        else:
            status, verdict, cause = outcome.status, _WORDS[outcome.verdict], outcome.cause
            code, error, detail = outcome.code, outcome.error, outcome.detail
        return {
            "id": self.request.id,
            "function": self.function,
            "deployment": self.deployment,
            "mode": self.mode,
            "method": self.request.method.decode("latin-1"),
            "path": self.path,
            "received_at": timeline.received_at,
            "worker": self.worker,
            "cold": self.cold,
            "status": status,
            "verdict": verdict,
            "cause": cause,
            "code": code,
            "error": error,
            "detail": detail,
            "first_byte_ms": timeline.at("first_byte"),
            "total_ms": timeline.at("end"),
            "bytes_in": exchange.received,
            "bytes_out": exchange.relayed,
            "chunks": timeline.gaps.count,
        }

    def trace(self, *, details: bool = True) -> dict[str, object]:
        """Everything: marks, gaps, frames, where it was held up, request, payload. Without `details` the summary."""
        timeline = self.exchange.timeline
        if not details:
            return self.summary()
        frames = timeline.frames()
        client, worker = self.exchange.stalls()
        return {
            **self.summary(),
            "marks": timeline.marks(),
            "gaps": timeline.gaps.as_dict(),
            "blocked": {"client_ms": round(client * 1000, 3), "worker_ms": round(worker * 1000, 3)},
            "request": recorded(self.request, self.body),
            "answer": {"crc32": self.exchange.checksum, "checked": min(self.exchange.relayed, CHECKED_BYTES)},
            "payload": None if self.payload is None else stamp.shown(self.payload),
            "frames": frames,
            "frames_dropped": timeline.count - len(frames),
        }
