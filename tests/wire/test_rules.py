"""Rules that all processes share: header fields, tokens, ids."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialback_wire import fields, ids, tokens
from dialback_wire.errors import StreamViolation
from dialback_wire.messages import Fields, Head

ID = "0123456789abcdefghjkmnpqrs"


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (Head(199, ()), "status 199"),
        (Head(600, ()), "status 600"),
        (Head(101, ()), "status 101"),
        (Head(200, ((b"a b", b""),)), "not a token"),
        (Head(200, ((b"", b""),)), "not a token"),
        (Head(200, ((b"x\r\ny", b""),)), "not a token"),
        (Head(200, ((b"x", b"a\r\nb"),)), "control character"),
        (Head(200, ((b"x", b"a\0b"),)), "control character"),
        (Head(200, ((b"x", b"a\x7f"),)), "control character"),
        (Head(200, ((b"x", b"y"),) * 129), "129 header fields"),
        (Head(200, ((b"x", b"y" * 65_536),)), "bytes of header fields"),
        (Head(200, ((b"content-length", b"1"), (b"Content-Length", b"1"))), "not one number"),
        (Head(200, ((b"content-length", b"+5"),)), "not one number"),
        (Head(200, ((b"content-length", b"-5"),)), "not one number"),
        (Head(200, ((b"content-length", b"5, 5"),)), "not one number"),
        (Head(200, ((b"content-length", b""),)), "not one number"),
        (Head(200, ((b"content-length", b"1" * 19),)), "not one number"),
    ],
)
def test_a_head_that_must_not_reach_a_client_is_a_violation(head: Head, why: str) -> None:
    with pytest.raises(StreamViolation, match=re.escape(why)):
        fields.check_response_head(head)


@pytest.mark.parametrize(
    ("head", "expected", "length"),
    [
        (Head(200, ((b"X-A", b"\xe9\t b"),)), Head(200, ((b"x-a", b"\xe9\t b"),)), None),
        (Head(200, ((b"Content-Length", b"007"),)), Head(200, ((b"content-length", b"007"),)), 7),
        (Head(204, ((b"content-length", b"7"), (b"a", b"b"))), Head(204, ((b"a", b"b"),)), None),
        (Head(304, ((b"content-length", b"7"),)), Head(304, ((b"content-length", b"7"),)), 7),
        (Head(200, ((b"transfer-encoding", b"chunked"), (b"te", b"x"), (b"upgrade", b"h2c"))), Head(200, ()), None),
        (Head(200, ((b"connection", b"close, X-Y"), (b"x-y", b"1"), (b"z", b"2"))), Head(200, ((b"z", b"2"),)), None),
        (Head(200, ((b"x-dialback-id", b"forged"), (b"x-dialback-run", b"t"))), Head(200, ()), None),
        (Head(200, ((b"X" * 200, b"long"),)), Head(200, ((b"x" * 200, b"long"),)), None),
        (
            Head(200, ((b"content-length", b"7"), (b"Connection", b"Content-Length, x-a"), (b"x-a", b"b"))),
            Head(200, ()),
            None,
        ),
    ],
)
def test_a_head_is_made_fit_to_be_relayed(head: Head, expected: Head, length: int | None) -> None:
    assert fields.check_response_head(head) == (expected, length)


def test_reserved_and_connection_fields_are_stripped_except_what_is_to_be_kept() -> None:
    given_fields: Fields = (
        (b"connection", b"x-forwarded-for"),
        (b"x-forwarded-for", b"spoofed"),
        (b"x-dialback-run", b"ticket"),
        (b"x-dialback-id", b"forged"),
        (b"accept", b"*/*"),
    )
    kept = fields.end_to_end(given_fields, frozenset({fields.RUN_TICKET}))
    assert kept == ((b"x-dialback-run", b"ticket"), (b"accept", b"*/*"))


def test_a_part_fits_its_frame_s_length_of_16_bits() -> None:
    fields.check_size(((b"x", b"y" * fields.MAX_PART),))
    with pytest.raises(StreamViolation, match="65535 at most"):
        fields.check_size(((b"", b"y" * (fields.MAX_PART + 1)),))


def test_fields_that_could_break_the_framing_are_told_from_those_that_cannot() -> None:
    fields.check_fields(((b"x-good", b"any value\t\xff"),))
    with pytest.raises(StreamViolation, match="not a token"):
        fields.check_fields(((b"x y", b""),))
    with pytest.raises(StreamViolation, match="control character"):
        fields.check_fields(((b"x", b"a\r\nb"),))
    assert fields.is_token(b"x-good")
    assert not fields.is_token(b"x y")
    assert fields.is_value(b"")
    assert not fields.is_value(b"a\0b")


def test_small_questions_about_fields() -> None:
    some: Fields = ((b"a", b"1"), (b"b", b"2"), (b"a", b"3"))
    assert fields.first(some, b"a") == b"1"
    assert fields.first(some, b"c") is None
    assert fields.without(some, b"a", b"c") == ((b"b", b"2"),)
    assert fields.has_body(b"GET", 200)
    assert not any(fields.has_body(*pair) for pair in ((b"HEAD", 200), (b"GET", 204), (b"GET", 304)))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_minted_token_can_be_looked_up_and_its_secret_compared(one: bytes, other: bytes) -> None:
    text, kept = tokens.mint("r0", ID, one)
    assert tokens.parse(text) == kept
    assert kept.digest == hashlib.sha256(one.hex().encode()).digest()
    assert kept.invocation == ID
    assert tokens.same_secret(kept, tokens.mint("r0", ID, other)[1]) == (one == other)


@pytest.mark.parametrize(
    "text", ["", "db1_r_x_y", "db2_r_{id}_{s}", "db1__{id}_{s}", "db1_r_{id}_{s}0", "db1_R_{id}_{s}"]
)
def test_what_is_no_token_is_not_parsed(text: str) -> None:
    assert tokens.parse(text.format(id=ID, s="a" * 64).encode()) is None


@pytest.mark.parametrize(("receiver", "invocation", "size"), [("", ID, 32), ("r", "short", 32), ("r", ID, 31)])
def test_a_token_is_not_minted_from_wrong_parts(receiver: str, invocation: str, size: int) -> None:
    with pytest.raises(ValueError, match="a token needs"):
        tokens.mint(receiver, invocation, b"x" * size)


def test_tokens_are_blotted_out_wherever_they_stand() -> None:
    text = tokens.mint("r", ID, b"s" * 32)[0].decode()
    shown = tokens.redact(f"Authorization: Bearer {text}, and again {text}.")
    assert (b"s" * 32).hex() not in shown
    assert shown.count(f"db1_r_{ID}_[redacted]") == 2


@given(st.binary(min_size=ids.RANDOM_BYTES, max_size=40))
def test_an_id_is_made_of_random_bytes(random: bytes) -> None:
    assert ids.is_id(ids.new_id(random))


def test_an_id_needs_enough_random_bytes_and_has_one_form() -> None:
    assert ids.new_id(b"\0" * 26) == "0" * 26
    assert ids.new_id(b"\xff" * 26) == "z" * 26
    assert not any(map(ids.is_id, ("", "0" * 25, "0" * 27, "A" * 26, "0" * 25 + "\n")))
    with pytest.raises(ValueError, match="26 random bytes, not 25"):
        ids.new_id(b"\0" * 25)
