"""Invocation ids: 26 characters of Crockford's base32 in lower case, 130 random bits, unguessable and URL-safe.

The caller brings the randomness, because this package reads neither clock nor entropy.
"""

import re

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS = bytes(ord(_ALPHABET[number & 31]) for number in range(256))
"""The digit of each byte: its five lower bits, so that every digit is as likely as any other."""
_PATTERN = re.compile(r"[0-9a-z]{26}")

RANDOM_BYTES = 26
"""How many random bytes `new_id` needs."""


def new_id(random: bytes) -> str:
    """An id made of `RANDOM_BYTES` random bytes (`os.urandom`, `secrets.token_bytes`).

    Raises ValueError when there are fewer.
    """
    if len(random) < RANDOM_BYTES:
        raise ValueError(f"an id needs {RANDOM_BYTES} random bytes, not {len(random)}")
    return random[:RANDOM_BYTES].translate(_DIGITS).decode("ascii")


def is_id(text: str) -> bool:
    """Whether `text` has the form of an invocation id."""
    return _PATTERN.fullmatch(text) is not None
