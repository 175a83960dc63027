"""The callback token: `db1_<receiver>_<invocation>_<secret>`, opaque, single use, looked up.

The receiver keeps the SHA-256 of the secret, finds the entry by the public invocation id and compares in constant
time. It is no JWT: the client that waits is held by one process, so a stateless token would save nothing.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

_PATTERN = re.compile(rb"db1_([0-9a-z]{1,16})_([0-9a-z]{26})_([0-9a-f]{64})")
_ANYWHERE = re.compile(r"db1_[0-9A-Za-z]+_[0-9A-Za-z]+_[0-9A-Za-z]+")

SECRET_BYTES = 32
"""How many random bytes a secret has."""


@dataclass(slots=True)
class Token:
    """A token taken apart. `digest` is the SHA-256 of the secret; the secret itself is not kept."""

    receiver: str
    invocation: str
    digest: bytes


def mint(receiver: str, invocation: str, random: bytes) -> tuple[bytes, Token]:
    """The token's text for the worker, and what the receiver keeps. `random` is `SECRET_BYTES` random bytes.

    Raises ValueError when the parts do not make a well-formed token.
    """
    secret = random.hex().encode()
    text = b"db1_%b_%b_%b" % (receiver.encode(), invocation.encode(), secret)
    if _PATTERN.fullmatch(text) is None:
        raise ValueError("a token needs a receiver of [0-9a-z]{1,16}, an invocation id and 32 random bytes")
    return text, Token(receiver, invocation, hashlib.sha256(secret).digest())


def parse(text: bytes) -> Token | None:
    """The parts of a well-formed token, or None."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None
    receiver, invocation, secret = match.groups()
    return Token(receiver.decode(), invocation.decode(), hashlib.sha256(secret).digest())


def same_secret(left: Token, right: Token) -> bool:
    """Whether two tokens carry the same secret, in constant time."""
    return hmac.compare_digest(left.digest, right.digest)


def redact(text: str) -> str:
    """`text` with every token's secret part blotted out; for logs, traces and errors."""
    return _ANYWHERE.sub(lambda m: m.group().rsplit("_", 1)[0] + "_[redacted]", text)
