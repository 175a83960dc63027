"""What is encoded comes back as it was; bytes that are no frames are told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialback_wire import frames
from dialback_wire.errors import FramingError, LocalError, StreamViolation
from dialback_wire.messages import Accept, End, Field, Fields, Head, Hello, Reason, Request, Verdict
from dialback_wire.outbox import Outbox
from dialback_wire.reader import FrameReader

U8, U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
SHORT = st.binary(max_size=255)
TEXT = st.text(max_size=200)
FIELD: st.SearchStrategy[Field] = st.tuples(st.binary(max_size=300), st.binary(max_size=300))
FIELDS: st.SearchStrategy[Fields] = st.lists(FIELD, max_size=10).map(tuple)
FRAME = st.tuples(U8, U32, st.binary(max_size=200))

HELLOS = st.builds(Hello, st.just(1), U8, U8, U64, U64, U64, SHORT, TEXT)
REQUESTS = st.builds(
    Request,
    id=st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=26, max_size=26),
    method=SHORT,
    target=st.binary(max_size=2000),
    authority=st.binary(max_size=500),
    fields=FIELDS,
    scheme=SHORT,
    http_version=SHORT,
    peer=SHORT,
    body_length=st.none() | st.integers(0, 2**63 - 1),
    age_us=U32,
)
ENDS = st.builds(End, st.sampled_from(Verdict), U64, U16, st.text("abc_", max_size=60), TEXT, U16)


@given(HELLOS)
def test_a_greeting_comes_back(hello: Hello) -> None:
    assert frames.decode_hello(frames.encode_hello(hello)) == hello


@given(REQUESTS)
def test_a_request_comes_back(request: Request) -> None:
    assert frames.decode_open(frames.encode_open_request(request)) == request


@given(st.binary(max_size=200))
def test_a_token_comes_back(token: bytes) -> None:
    assert frames.decode_open(frames.encode_open_token(token)) == token


@given(st.builds(Accept, SHORT, st.booleans()))
def test_an_acceptance_comes_back(accept: Accept) -> None:
    assert frames.decode_accept(frames.encode_accept(accept)) == accept


@given(U16, FIELDS)
def test_a_head_comes_back(status: int, fields: Fields) -> None:
    assert frames.decode_head(frames.encode_head(Head(status, fields))) == (status, fields)


@given(U16, FIELDS, st.binary(max_size=300))
def test_a_whole_response_comes_back(status: int, fields: Fields, body: bytes) -> None:
    assert frames.decode_answer(frames.encode_answer(Head(status, fields), body)) == (status, fields, body)


@given(FIELDS)
def test_trailers_come_back(fields: Fields) -> None:
    assert frames.decode_trailers(frames.encode_fields(fields)) == fields


def test_streams_share_the_names_of_their_fields_but_not_without_bound() -> None:
    def decoded(name: bytes) -> bytes:
        ((found, _),) = frames.decode_fields(frames.encode_fields(((name, b"x"),)), 0)
        return found

    assert decoded(b"x-shared-by-all") is decoded(b"x-shared-by-all")
    long = b"x" * (frames.SHARED_NAME + 1)
    assert decoded(long) == long
    assert decoded(long) is not decoded(long)
    for number in range(frames.SHARED_NAMES + 10):
        assert decoded(b"x-%d" % number) == b"x-%d" % number
    assert len(frames._names) <= frames.SHARED_NAMES
    frames._names.clear()


@given(ENDS)
def test_an_end_comes_back(end: End) -> None:
    assert frames.decode_end(frames.encode_end(end)) == end


@given(U16, TEXT)
def test_a_refusal_comes_back(code: int, reason: str) -> None:
    assert frames.decode_refuse(frames.encode_refuse(code, reason)) == (code, reason)


@given(st.sampled_from(Reason), TEXT)
def test_a_cancel_comes_back(reason: Reason, detail: str) -> None:
    assert frames.decode_cancel(frames.encode_cancel(reason, detail)) == (reason, detail)


@given(U64, U64)
def test_a_window_comes_back(consumed: int, limit: int) -> None:
    assert frames.decode_window(frames.encode_window(consumed, limit)) == (consumed, limit)


@pytest.mark.parametrize(
    "decode",
    [
        frames.decode_open,
        frames.decode_accept,
        frames.decode_head,
        frames.decode_trailers,
        frames.decode_end,
        frames.decode_refuse,
        frames.decode_cancel,
        frames.decode_window,
    ],
)
@given(payload=st.binary(max_size=120))
def test_any_payload_is_decoded_or_a_violation_of_its_stream(decode: object, payload: bytes) -> None:
    assert callable(decode)
    try:
        decode(payload)
    except StreamViolation:
        pass


@given(st.binary(max_size=120) | st.binary(max_size=100).map(lambda rest: b"dialback\x01" + rest))
def test_any_greeting_is_decoded_or_a_framing_error(payload: bytes) -> None:
    try:
        frames.decode_hello(payload)
    except FramingError:
        pass


@given(st.lists(FRAME, max_size=12), st.data())
def test_a_reader_finds_the_same_frames_however_the_bytes_are_cut(
    sent: list[tuple[int, int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(frames.frame(*one) for one in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader = FrameReader()
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += list(reader.feed(stream[start:end]))
    assert got == sent
    assert reader.held == 0


@given(st.lists(FRAME, max_size=12), st.integers(1, 300))
def test_a_reader_keeps_nothing_of_memory_that_is_used_again(sent: list[tuple[int, int, bytes]], size: int) -> None:
    stream = b"".join(frames.frame(*one) for one in sent)
    memory = bytearray(size)
    reader = FrameReader()
    got = []
    for start in range(0, len(stream), size):
        part = stream[start : start + size]
        memory[: len(part)] = part
        got += list(reader.feed(memoryview(memory)[: len(part)]))
        memory[:] = bytes(size)
    assert got == sent


def test_a_large_frame_is_found_in_large_parts() -> None:
    reader = FrameReader()
    reader.max_frame = 1 << 20
    payload = bytes(range(256)) * 400
    stream = frames.frame(0x15, 1, payload) * 3
    got = [one for at in range(0, len(stream), 65_536) for one in reader.feed(memoryview(stream)[at : at + 65_536])]
    assert got == [(0x15, 1, payload)] * 3


def test_a_reader_holds_no_more_than_one_frame() -> None:
    reader = FrameReader()
    whole = frames.frame(0x15, 1, b"x" * 1000)
    for at in range(len(whole) - 1):
        assert list(reader.feed(whole[at : at + 1])) == []
        assert reader.held == at + 1
    assert list(reader.feed(whole[-1:])) == [(0x15, 1, b"x" * 1000)]


def test_a_limit_that_changes_between_two_frames_holds_for_the_second() -> None:
    reader = FrameReader()
    found = reader.feed(frames.frame(1, 0) + frames.frame(0x15, 1, b"x" * 5000))
    assert next(found)[0] == 1
    reader.max_frame = 5000
    assert next(found)[0] == 0x15


def test_what_does_not_fit_its_bytes_is_a_local_error() -> None:
    with pytest.raises(LocalError):
        frames.encode_fields(((b"n", b"v"),) * 70_000)
    with pytest.raises(LocalError):
        frames.encode_head(Head(70_000, ()))


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.lists(st.integers(1, 80), max_size=30))
def test_an_outbox_gives_out_what_was_put_in_in_order_and_within_credit(pieces: list[bytes], wants: list[int]) -> None:
    outbox = Outbox(400)
    for piece in pieces:
        outbox.put(piece)
    got = b""
    for want in wants:
        got += b"".join(outbox.take(min(want, outbox.sendable)))
        assert outbox.window.sent == len(got) <= 400
    assert b"".join(pieces).startswith(got)
    assert outbox.queued == len(b"".join(pieces)) - len(got)
