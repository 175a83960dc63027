"""What is believed of the frame that ends one direction of a stream. One that lies is a failure, and still the last."""

from . import frames
from .errors import StreamViolation
from .messages import End, Verdict


def violated(why: str, received: int) -> End:
    """The end of a response whose sender broke the protocol, `received` bytes after its head."""
    return End(Verdict.PROTOCOL, received, 502, "protocol_violation", why)


def response_end(payload: bytes, received: int, *, headless: bool, cancelled: bool) -> End:
    """A response's END. `headless`: no head came; `cancelled`: nobody counts what still comes."""
    try:
        end = frames.decode_end(payload)
    except StreamViolation as violation:
        return violated(str(violation), received)
    if end.verdict is Verdict.OK:
        if headless:
            return violated("END says OK without a head", received)
        if end.count != received and not cancelled:
            return violated(_miscounted(end, received), received)
    return end


def body_end(payload: bytes, received: int) -> End:
    """The END of a request's body. Raises StreamViolation when it cannot be decoded."""
    end = frames.decode_end(payload)
    if end.verdict is Verdict.OK and end.count != received:
        return End(Verdict.TRUNCATED, received, 0, "protocol_violation", _miscounted(end, received))
    return end


def _miscounted(end: End, received: int) -> str:
    return f"END counts {end.count} bytes, {received} came"
