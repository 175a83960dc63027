"""How both ends of a link show that they know its key, without sending it.

Each end puts a nonce into its HELLO and answers with `HMAC-SHA256(key, label || own seat || own nonce || peer's
nonce)`. The seat keeps an attacker from sending a proof back to where it came from.
"""

import hashlib
import hmac

NONCE_BYTES = 32
_LABEL = b"dialback/1 proof\0"


def prove(key: bytes, seat: int, own_nonce: bytes, peer_nonce: bytes) -> bytes:
    """The proof that the end with `seat` and `own_nonce` sends."""
    return hmac.new(key, _LABEL + bytes([seat]) + own_nonce + peer_nonce, hashlib.sha256).digest()


def verify(proof: bytes, key: bytes, peer_seat: int, own_nonce: bytes, peer_nonce: bytes) -> bool:
    """Whether `proof` is what an end that knows the key would have sent to us."""
    return hmac.compare_digest(proof, prove(key, peer_seat, peer_nonce, own_nonce))
