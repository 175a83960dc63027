"""How an invocation ended, and who caused it."""

from dataclasses import dataclass

from dialback_wire.messages import Reason, Verdict

# Who, in the first letter of the log code: HAProxy's idea.
#   C the client   c a time-out of the client   F the function   S its worker   s a time-out of either
#   P a rule of the platform   L no function there   R a lack of resources   I our own failure
#   K stopped by an operator   - nobody
_CAUSES = {
    "C": "client",
    "c": "client",
    "F": "function",
    "S": "worker",
    "s": "function",
    "P": "policy",
    "L": "routing",
    "R": "resources",
    "I": "platform",
    "K": "killed",
    "-": "",
}


@dataclass(slots=True)
class Outcome:
    """The end of an invocation as the trace, the log and the metrics tell it."""

    verdict: Verdict
    who: str
    """One letter, see above."""
    phase: str
    """R request, Q queue, L launch, W waiting for the bridge, H head, D data, E end; - for a good end."""
    status: int
    """The HTTP status that the client got, or 0 when it got none."""
    error: str = ""
    """A short word, such as `handler_error`; empty for a good end."""
    detail: str = ""

    @property
    def code(self) -> str:
        """Two letters for the access log."""
        return self.who + self.phase

    @property
    def cause(self) -> str:
        """Who ended it, in a word."""
        return _CAUSES[self.who]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the platform ends an invocation: what the client is told, and how it is recorded."""

    verdict: Verdict
    who: str
    status: int
    error: str
    detail: str
    reason: Reason
    """What the worker is told."""
    retry_after: int = 0


def timed_out(which: str, seconds: float) -> Failure:
    """The failure for the time-out `start`, `head`, `idle` or `total`."""
    texts = {
        "start": "no worker was ready",
        "head": "the function sent no response head",
        "idle": "the function was silent",
        "total": "the invocation was not over",
    }
    reasons = {
        "start": Reason.TIMEOUT_START,
        "head": Reason.TIMEOUT_HEAD,
        "idle": Reason.TIMEOUT_IDLE,
        "total": Reason.TIMEOUT_TOTAL,
    }
    detail = f"{texts[which]} within {seconds:g} s (time-out {which!r})"
    return Failure(Verdict.TIMEOUT, "s", 504, f"timeout_{which}", detail, reasons[which])
