"""Vectors of what surrounds the frames: proofs, tokens, the stamped payload, header rules."""

from typing import Any

from dialback_wire import fields, payload, tokens
from dialback_wire.errors import StreamViolation
from dialback_wire.messages import Head
from dialback_wire.proof import prove
from dialback_wire.tables import Seat

from .frames_of import ID, pairs


def proofs() -> list[dict[str, Any]]:
    """`proof` is what the end with `seat` and `own_nonce` sends."""
    key, one, two = b"correct horse battery staple", bytes(range(32)), bytes(range(32, 64))
    return [
        {
            "key": key.hex(),
            "seat": int(seat),
            "own_nonce": own.hex(),
            "peer_nonce": peer.hex(),
            "proof": prove(key, seat, own, peer).hex(),
        }
        for seat, own, peer in ((Seat.EDGE, one, two), (Seat.INVOKER_LINK, two, one))
    ]


def token_forms() -> dict[str, Any]:
    """Well-formed tokens taken apart, texts that are none, and what a log shows."""
    text, kept = tokens.mint("r0", ID, bytes(range(32)))
    shown = text.decode()
    secret = shown.rsplit("_", 1)[1]
    bad = ["", "db1_", shown[:-1], shown + "0", shown.upper(), shown.replace("db1", "db2"), f"db1__{ID}_{secret}"]
    return {
        "random": bytes(range(32)).hex(),
        "token": shown,
        "receiver": kept.receiver,
        "invocation": kept.invocation,
        "sha256_of_secret": kept.digest.hex(),
        "redacted": tokens.redact(shown),
        "malformed": bad,
    }


def stamp() -> dict[str, Any]:
    """The key that the payload has more than Lambda's own event."""
    return {
        "key": payload.KEY,
        "version": payload.VERSION,
        "callback_path": payload.CALLBACK_PATH,
        "subprotocol": payload.SUBPROTOCOL,
        "body": [payload.BODY_NONE, payload.BODY_INLINE, payload.BODY_STREAM],
        "inline_limit": payload.INLINE_LIMIT,
        "lambda_limit": payload.LAMBDA_LIMIT,
        "error_types": [payload.UNREACHABLE, payload.REFUSED],
        "example": {
            payload.KEY: {
                "version": payload.VERSION,
                "invocation": ID,
                "url": f"ws://127.0.0.1:8082{payload.CALLBACK_PATH}",
                "token": tokens.mint("r0", ID, bytes(32))[0].decode(),
                "body": payload.BODY_STREAM,
                "body_length": None,
                "root_path": "/@hello",
            }
        },
    }


def heads() -> list[dict[str, Any]]:
    """Response heads, and what may go on to a client (null: nothing, the answer is 502)."""
    given = [
        Head(200, ((b"Content-Type", b"text/plain"), (b"Content-Length", b"5"))),
        Head(200, ((b"connection", b"close, x-hop"), (b"x-hop", b"1"), (b"keep-alive", b"5"))),
        Head(200, ((b"transfer-encoding", b"chunked"), (b"upgrade", b"h2c"), (b"te", b"trailers"))),
        Head(200, ((b"x-dialback-id", b"forged"), (b"x-other", b"stays"))),
        Head(204, ((b"content-length", b"0"),)),
        Head(304, ((b"content-length", b"10"),)),
        Head(101, ()),
        Head(600, ()),
        Head(200, ((b"content-length", b"5"), (b"content-length", b"5"))),
        Head(200, ((b"content-length", b"+5"),)),
        Head(200, ((b"x", b"a\r\nset-cookie: b"),)),
        Head(200, ((b"x y", b""),)),
        Head(200, ((b"x", b"a\x00"),)),
    ]
    return [{"status": head.status, "fields": pairs(head.fields), "relayed": _relayed(head)} for head in given]


def _relayed(head: Head) -> dict[str, Any] | None:
    try:
        fit, length = fields.check_response_head(head)
    except StreamViolation:
        return None
    return {"status": fit.status, "fields": pairs(fit.fields), "content_length": length}
