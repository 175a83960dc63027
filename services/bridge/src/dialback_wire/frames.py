"""How each frame is laid out in bytes. All numbers are big-endian.

A frame is a header of 8 bytes, `type (1) length (3) stream (4)`, and `length` bytes of payload. Frames delimit
themselves, so a carrier may cut and join them as it likes. `docs/protocol.md` has every payload's layout.
"""

import struct
from enum import IntEnum
from struct import Struct

from .errors import FramingError, LocalError, StreamViolation
from .messages import Accept, End, Fields, Head, Hello, Info, Invoke, Reason, Request, Verdict

MAGIC = b"dialback"
MAJOR = 1
MINOR = 2
"""1: INVOKE, DECLINE and DONE. 2: ANSWER."""
HEADER_BYTES = 8
HELLO_LIMIT = 1024
"""Largest payload of a frame before the greeting is over, in bytes."""
MAX_STREAM = 0xFFFF_FFFF
MAX_PAYLOAD = 0xFF_FFFF
MAX_PING = 64
"""Largest payload of a PING, in bytes; it has to be sent back."""
MAX_TEXT = 1024
"""Bytes of a reason or detail for people; longer ones are cut."""
MAX_CODE = 255

SHARED_NAMES = 1024
"""How many names of fields are remembered."""
SHARED_NAME = 64
"""Bytes of the longest of them."""


class FrameType(IntEnum):
    """Types of frames. Those below 0x10 belong to the carrier and have stream number 0."""

    # In C: Enum's own is a Python function, and would be called for every frame.
    __hash__ = int.__hash__

    HELLO = 0x01
    PROOF = 0x02
    PING = 0x03
    PONG = 0x04
    GOING_AWAY = 0x05
    INVOKE = 0x06
    DECLINE = 0x07
    DONE = 0x08
    OPEN = 0x10
    ACCEPT = 0x11
    REFUSE = 0x12
    INFO = 0x13
    HEAD = 0x14
    DATA = 0x15
    TRAILERS = 0x16
    END = 0x17
    CANCEL = 0x18
    WINDOW = 0x19
    ANSWER = 0x1A


KNOWN = {int(t): t for t in FrameType}
"""The types by their numbers; quicker to ask than `FrameType(number)`."""

OPEN_TOKEN = 1
OPEN_REQUEST = 2

SETTING_MAX_FRAME = 1
SETTING_WINDOW = 2
SETTING_MAX_STREAMS = 3

_HEADER = Struct("!II")
_HELLO = Struct("!8sBBBB")
_SETTING = Struct("!HQ")
_U16 = Struct("!H")
_U32 = Struct("!I")
_FIELD = Struct("!HH")
_END = Struct("!BQHHB")
_WINDOW = Struct("!QQ")
_REQUEST = Struct("!qI")
_LENGTHS = Struct("!BBHHBBB")
_INVOKE = Struct("!QB")

pack_header = _HEADER.pack
unpack_header = _HEADER.unpack_from


def frame(kind: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return pack_header(kind << 24 | len(payload), stream) + payload


def _pack(layout: Struct, *values: int) -> bytes:
    try:
        return layout.pack(*values)
    except struct.error as error:
        raise LocalError(f"{values} cannot be sent: {error}") from error


def _text(text: str, limit: int = MAX_TEXT) -> bytes:
    return text.encode(errors="replace")[:limit]


class _Names(dict[bytes, bytes]):
    """Names of fields that came before: streams that stand for long share one object of each. Few and short ones,
    whoever sends them.
    """

    def __missing__(self, name: bytes) -> bytes:
        if len(name) <= SHARED_NAME and len(self) < SHARED_NAMES:
            self[name] = name
        return name


_names = _Names()


# --- fields -----------------------------------------------------------------------------------------------------------


def encode_fields(fields: Fields) -> bytes:
    """`count (2)`, then for each field `name length (2) value length (2) name value`. Raises LocalError."""
    parts = [_pack(_U16, len(fields))]
    pack = _FIELD.pack
    try:
        for name, value in fields:
            parts += (pack(len(name), len(value)), name, value)
    except struct.error as error:
        raise LocalError(f"a field cannot be sent: {error}") from error
    return b"".join(parts)


def decode_fields(payload: bytes, at: int) -> Fields:
    """The fields that start at offset `at` and fill the rest of `payload`."""
    (count,) = _U16.unpack_from(payload, at)
    at += 2
    size = len(payload)
    fields = []
    unpack, names = _FIELD.unpack_from, _names
    for _ in range(count):
        name_length, value_length = unpack(payload, at)
        middle = at + 4 + name_length
        end = middle + value_length
        if end > size:
            raise StreamViolation("a field is longer than its frame")
        fields.append((names[payload[at + 4 : middle]], payload[middle:end]))
        at = end
    if at != size:
        raise StreamViolation("bytes behind the last field")
    return tuple(fields)


# --- the carrier's own frames -----------------------------------------------------------------------------------------


def encode_hello(hello: Hello) -> bytes:
    """`magic (8) major minor seat count`, settings `id (2) value (8)`, `nonce length (1) nonce`, agent."""
    settings = (
        (SETTING_MAX_FRAME, hello.max_frame),
        (SETTING_WINDOW, hello.window),
        (SETTING_MAX_STREAMS, hello.max_streams),
    )
    head = _HELLO.pack(MAGIC, hello.major, hello.minor, hello.seat, len(settings))
    pairs = b"".join(_SETTING.pack(*pair) for pair in settings)
    return head + pairs + bytes([len(hello.nonce)]) + hello.nonce + hello.agent.encode()


def decode_hello(payload: bytes) -> Hello:
    """A greeting. Settings that this version does not know are passed over. Raises FramingError for anything else."""
    try:
        magic, major, minor, seat, count = _HELLO.unpack_from(payload)
        if magic != MAGIC:
            raise FramingError("the other side does not speak dialback")
        if major != MAJOR:
            raise FramingError(f"the other side speaks dialback/{major}, this side dialback/{MAJOR}")
        settings: dict[int, int] = {}
        at = _HELLO.size
        for _ in range(count):
            key, value = _SETTING.unpack_from(payload, at)
            settings[key] = value
            at += _SETTING.size
        nonce_end = at + 1 + payload[at]
        if nonce_end > len(payload):
            raise FramingError("the greeting's nonce is longer than its frame")
        agent = payload[nonce_end:].decode()
        return Hello(
            major,
            minor,
            seat,
            settings[SETTING_MAX_FRAME],
            settings[SETTING_WINDOW],
            settings[SETTING_MAX_STREAMS],
            payload[at + 1 : nonce_end],
            agent,
        )
    except (struct.error, IndexError, KeyError, UnicodeDecodeError) as error:
        raise FramingError("the greeting cannot be decoded") from error


def encode_invoke(invoke: Invoke) -> bytes:
    """`deadline (8)`, `length of the id (1)`, the id, the event. Raises LocalError."""
    ident = invoke.invocation.encode()
    return _pack(_INVOKE, invoke.deadline_ms, len(ident)) + ident + invoke.event


def decode_invoke(payload: bytes) -> Invoke:
    """Raises FramingError."""
    try:
        deadline, length = _INVOKE.unpack_from(payload)
        at = _INVOKE.size + length
        if not length or at > len(payload):
            raise FramingError("INVOKE without a whole id")
        return Invoke(payload[_INVOKE.size : at].decode("ascii"), deadline, payload[at:])
    except (struct.error, UnicodeDecodeError) as error:
        raise FramingError("INVOKE cannot be decoded") from error


def decode_id(payload: bytes) -> str:
    """The invocation that a DECLINE or DONE is about. Raises FramingError."""
    if not payload.isascii():
        raise FramingError("the id of an invocation is not ASCII")
    return payload.decode("ascii")


# --- frames of a stream -----------------------------------------------------------------------------------------------


def encode_open_token(token: bytes) -> bytes:
    """`kind (1) = 1`, the token."""
    return bytes([OPEN_TOKEN]) + token


def encode_open_request(request: Request) -> bytes:
    """`kind (1) = 2, body length (8, signed; -1: chunked) age (4)`, seven lengths, the seven texts, fields.

    Raises LocalError.
    """
    length = -1 if request.body_length is None else request.body_length
    ident = request.id.encode()
    parts = (
        ident,
        request.method,
        request.target,
        request.authority,
        request.scheme,
        request.http_version,
        request.peer,
    )
    return b"".join(
        (
            bytes([OPEN_REQUEST]),
            _pack(_REQUEST, length, min(request.age_us, 0xFFFF_FFFF)),
            _pack(_LENGTHS, *map(len, parts)),
            *parts,
            encode_fields(request.fields),
        )
    )


def decode_open(payload: bytes) -> bytes | Request:
    """A token, or a relayed request. Raises StreamViolation."""
    kind = payload[0] if payload else 0
    if kind == OPEN_TOKEN:
        return payload[1:]
    if kind != OPEN_REQUEST:
        raise StreamViolation(f"OPEN of unknown kind {kind}")
    try:
        length, age = _REQUEST.unpack_from(payload, 1)
        at = 1 + _REQUEST.size
        lengths = _LENGTHS.unpack_from(payload, at)
        at += _LENGTHS.size
        parts = []
        for size in lengths:
            parts.append(payload[at : at + size])
            at += size
        ident, method, target, authority, scheme, version, peer = parts
        body_length = None if length == -1 else length
        if body_length is not None and body_length < 0:
            raise StreamViolation("OPEN with a negative body length")
        fields = decode_fields(payload, at)
        return Request(
            ident.decode("ascii"), method, target, authority, fields, scheme, version, peer, body_length, age
        )
    except (struct.error, UnicodeDecodeError) as error:
        raise StreamViolation("OPEN cannot be decoded") from error


def encode_accept(accept: Accept) -> bytes:
    """`flags (1)`, bit 0: the request's body follows; the resume token."""
    return bytes([1 if accept.body else 0]) + accept.resume_token


def decode_accept(payload: bytes) -> Accept:
    """Raises StreamViolation when it is empty."""
    if not payload:
        raise StreamViolation("ACCEPT without flags")
    return Accept(payload[1:], bool(payload[0] & 1))


def encode_going_away(reason: str) -> bytes:
    """A reason for people."""
    return _text(reason)


def encode_refuse(code: int, reason: str) -> bytes:
    """`code (2)`, a reason for people."""
    return _U16.pack(code) + _text(reason)


def decode_refuse(payload: bytes) -> tuple[int, str]:
    """Raises StreamViolation."""
    if len(payload) < 2:
        raise StreamViolation("REFUSE without a code")
    return _U16.unpack_from(payload)[0], payload[2:].decode(errors="replace")


def encode_head(head: Head | Info) -> bytes:
    """`status (2)`, fields. Raises LocalError."""
    return _pack(_U16, head.status) + encode_fields(head.fields)


def decode_head(payload: bytes) -> tuple[int, Fields]:
    """Status and fields of a HEAD or INFO. Raises StreamViolation."""
    try:
        return _U16.unpack_from(payload)[0], decode_fields(payload, 2)
    except struct.error as error:
        raise StreamViolation("a head cannot be decoded") from error


def encode_answer(head: Head, body: bytes) -> bytes:
    """`length of the head (4)`, the head, the body. Raises LocalError."""
    encoded = encode_head(head)
    return b"".join((_U32.pack(len(encoded)), encoded, body))


def decode_answer(payload: bytes) -> tuple[int, Fields, bytes]:
    """Status, fields and body. Raises StreamViolation."""
    try:
        end = 4 + _U32.unpack_from(payload)[0]
    except struct.error as error:
        raise StreamViolation("ANSWER cannot be decoded") from error
    if end > len(payload):
        raise StreamViolation("ANSWER's head is longer than its frame")
    return *decode_head(payload[4:end]), payload[end:]


def decode_trailers(payload: bytes) -> Fields:
    """Raises StreamViolation."""
    try:
        return decode_fields(payload, 0)
    except struct.error as error:
        raise StreamViolation("TRAILERS cannot be decoded") from error


def encode_end(end: End) -> bytes:
    """`verdict (1) count (8) status (2) retry-after (2) code length (1) code detail`."""
    if not end.code and not end.detail:
        return _pack(_END, end.verdict, end.count, end.status, end.retry_after, 0)
    code = _text(end.code, MAX_CODE)
    return _pack(_END, end.verdict, end.count, end.status, end.retry_after, len(code)) + code + _text(end.detail)


def decode_end(payload: bytes) -> End:
    """Raises StreamViolation. A verdict of a later version is an error by its nature: only OK is a success."""
    try:
        verdict, count, status, retry_after, code_length = _END.unpack_from(payload)
    except struct.error as error:
        raise StreamViolation("END cannot be decoded") from error
    known = _VERDICTS.get(verdict, Verdict.ERROR)
    if len(payload) == _END.size and not code_length:
        return End(known, count, status, "", "", retry_after)
    code_end = _END.size + code_length
    if code_end > len(payload):
        raise StreamViolation("END's code is longer than its frame")
    code = payload[_END.size : code_end].decode(errors="replace")
    return End(known, count, status, code, payload[code_end:].decode(errors="replace"), retry_after)


_VERDICTS = {int(v): v for v in Verdict}
_REASONS = frozenset(int(r) for r in Reason)


def encode_cancel(reason: Reason, detail: str) -> bytes:
    """`reason (1)`, a detail for people."""
    return bytes([reason]) + _text(detail)


def decode_cancel(payload: bytes) -> tuple[Reason, str]:
    """A reason of a later version counts as KILLED. Raises StreamViolation when it is empty."""
    if not payload:
        raise StreamViolation("CANCEL without a reason")
    reason = Reason(payload[0]) if payload[0] in _REASONS else Reason.KILLED
    return reason, payload[1:].decode(errors="replace")


def encode_window(consumed: int, limit: int) -> bytes:
    """`consumed (8) limit (8)`, absolute byte offsets of this direction of the stream."""
    return _WINDOW.pack(consumed, limit)


def decode_window(payload: bytes) -> tuple[int, int]:
    """Raises StreamViolation."""
    if len(payload) != _WINDOW.size:
        raise StreamViolation("WINDOW cannot be decoded")
    consumed, limit = _WINDOW.unpack(payload)
    return consumed, limit
