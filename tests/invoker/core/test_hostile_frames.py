"""What a bridge that breaks the rules does to its client, to its socket, and to nobody else."""

import logging
import os
from pathlib import Path

import pytest

from dialback_wire import frames
from dialback_wire.frames import FrameType
from dialback_wire.messages import Reason, Verdict

from .conftest import Stage
from .node import RawClient
from .rogue import Rogue, Seen, dialled
from .strings import Puppet

FRAMING = 1002
SECOND = b"GET /@f/second HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def heads(received: bytes) -> int:
    return received.count(b"HTTP/1.1 ")


async def serve_well(client: RawClient, puppet: Puppet, rogue: Rogue) -> None:
    """The worker's next invocation goes well, on the same socket."""
    given = await puppet.given()
    seen = await rogue.accepted(given.token)
    seen.respond(b"well")
    assert (await client.rest()).endswith(b"\r\n\r\nwell")


async def second_client(stage: Stage) -> RawClient:
    client = await stage.client()
    client.send(SECOND)
    return client


# --- what cannot be decoded closes the socket -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        "a text message",
        frames.pack_header(FrameType.DATA << 24 | 0xFFFFFF, 1),
        frames.pack_header(FrameType.DATA << 24 | (128 * 1024 + 1), 1),
        frames.frame(FrameType.HELLO, 0, b"not dialback"),
        frames.frame(FrameType.PING, 0, bytes(65)),
        frames.frame(FrameType.PROOF, 0, bytes(32)),
    ],
    ids=["text", "largest length", "one byte too large", "second greeting", "large ping", "unasked proof"],
)
async def test_undecodable_bytes_before_the_head_are_a_502_and_close_1002(either: Stage, garbage: bytes | str) -> None:
    client, puppet, given = await either.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        await rogue.accepted(given.token)
        rogue.raw(garbage)
        assert await rogue.closed() in (FRAMING, 0)
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert heads(answer) == 1


async def test_undecodable_bytes_after_the_head_are_a_truncation(either: Stage) -> None:
    client, puppet, given = await either.invoked()
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        seen.stream.write(b"begun")
        await client.until(b"begun")
        rogue.raw(b"\xff" * 64)
        rogue.raw("and text")
        assert await rogue.closed() in (FRAMING, 0)
    answer = await client.rest()
    assert heads(answer) == 1
    assert not answer.endswith(b"\r\n0\r\n\r\n")


async def test_a_socket_that_speaks_before_its_greeting_is_closed(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token, greet=False) as rogue:
        rogue.frame(FrameType.OPEN, 1, frames.encode_open_token(given.token.encode()))
        assert await rogue.closed() == FRAMING
    async with dialled(puppet.receiver, given.token) as rogue:
        (await rogue.accepted(given.token)).respond(b"unharmed")
        assert (await client.rest()).endswith(b"unharmed")


async def test_a_message_over_the_limit_closes_the_socket_without_being_kept(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        await rogue.accepted(given.token)
        rogue.raw(bytes(5 * 1024 * 1024))
        assert await rogue.closed() in (1009, FRAMING)
    assert (await client.rest()).startswith(b"HTTP/1.1 502 ")


async def test_compression_is_never_agreed_on(stage: Stage) -> None:
    _, puppet, given = await stage.invoked()
    async with dialled(puppet.receiver, given.token, compression="deflate") as rogue:
        assert rogue.extensions == []
        await rogue.accepted(given.token)


# --- what breaks a rule of its stream ends that stream alone --------------------------------------------------------


def two_heads(rogue: Rogue, seen: Seen) -> None:
    rogue.head(seen.stream.id, 200, (b"x-first", b"1"))
    rogue.head(seen.stream.id, 201, (b"x-second", b"2"))


def data_before_head(rogue: Rogue, seen: Seen) -> None:
    rogue.frame(FrameType.DATA, seen.stream.id, b"too soon")


def data_after_end(rogue: Rogue, seen: Seen) -> None:
    rogue.head(seen.stream.id)
    rogue.end(seen.stream.id)
    rogue.frame(FrameType.DATA, seen.stream.id, b"too late")


def trailers_before_head(rogue: Rogue, seen: Seen) -> None:
    rogue.frame(FrameType.TRAILERS, seen.stream.id, frames.encode_fields(((b"x-a", b"b"),)))


def a_broken_head(rogue: Rogue, seen: Seen) -> None:
    rogue.frame(FrameType.HEAD, seen.stream.id, b"\x00\xc8\x00\x05")


def an_accept_of_its_own(rogue: Rogue, seen: Seen) -> None:
    rogue.frame(FrameType.ACCEPT, seen.stream.id, b"\x00")


def a_cancel_of_its_own(rogue: Rogue, seen: Seen) -> None:
    rogue.frame(FrameType.CANCEL, seen.stream.id, frames.encode_cancel(Reason.KILLED, ""))


def more_than_its_window(rogue: Rogue, seen: Seen) -> None:
    rogue.head(seen.stream.id)
    for _ in range(300):
        rogue.frame(FrameType.DATA, seen.stream.id, bytes(64 * 1024))


def a_wrong_count(rogue: Rogue, seen: Seen) -> None:
    rogue.head(seen.stream.id)
    rogue.frame(FrameType.DATA, seen.stream.id, b"five.")
    rogue.end(seen.stream.id, 4)


def an_end_without_a_head(rogue: Rogue, seen: Seen) -> None:
    rogue.end(seen.stream.id)


@pytest.mark.parametrize(
    ("attack", "status"),
    [
        (two_heads, 200),
        (data_before_head, 502),
        (data_after_end, 200),
        (trailers_before_head, 502),
        (a_broken_head, 502),
        (an_accept_of_its_own, 502),
        (a_cancel_of_its_own, 502),
        (more_than_its_window, 200),
        (a_wrong_count, 200),
        (an_end_without_a_head, 502),
    ],
)
async def test_a_broken_rule_gives_one_head_at_most_and_leaves_the_socket_to_others(
    either: Stage, attack: object, status: int
) -> None:
    assert callable(attack)
    client, puppet, given = await either.invoked()
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        attack(rogue, seen)
        await client.until(b"\r\n\r\n")
        await serve_well(await second_client(either), puppet, rogue)
    if attack is data_after_end:
        answer = await client.until(b"\r\n0\r\n\r\n")
        client.close()
        assert b"too late" not in answer
    elif status == 502:
        answer = await client.until(b"}")
    else:
        answer = await client.rest()
        assert not answer.endswith(b"\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert heads(answer) == 1
    assert b"x-second" not in answer
    assert b"too soon" not in answer


async def test_an_unknown_frame_of_a_later_version_is_passed_over(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        rogue.frame(0x7E, seen.stream.id, b"?")
        rogue.frame(0x0F, 0, b"?")
        seen.respond(b"well")
        assert (await client.rest()).endswith(b"\r\n\r\nwell")


async def test_frames_of_another_invocations_stream_number_touch_nobody(either: Stage) -> None:
    await either.deploy_puppet("g")
    client, mine, given = await either.invoked("/@f/", "Connection: close")
    other, theirs, wanted = await either.invoked("/@g/", "Connection: close")
    async with dialled(mine.receiver, given.token) as rogue, dialled(theirs.receiver, wanted.token) as good:
        mine_seen = await rogue.accepted(given.token)
        good_seen = await good.accepted(wanted.token)
        for stream in (2, 3, 99):
            rogue.head(stream)
            rogue.frame(FrameType.DATA, stream, b"injected")
            rogue.end(stream, 8)
        mine_seen.respond(b"mine")
        good_seen.respond(b"theirs")
        assert (await client.rest()).endswith(b"\r\n\r\nmine")
        assert (await other.rest()).endswith(b"\r\n\r\ntheirs")


# --- heads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "field"),
    [
        (99, (b"x-a", b"b")),
        (199, (b"x-a", b"b")),
        (600, (b"x-a", b"b")),
        (0, (b"x-a", b"b")),
        (200, (b"x-a", b"b\r\nx-injected: 1")),
        (200, (b"x-a", b"b\nx-injected: 1")),
        (200, (b"x-a", b"b\0")),
        (200, (b"x-a\r\nx-injected", b"b")),
        (200, (b"x a", b"b")),
        (200, (b"", b"b")),
        (200, (b"x-a:", b"b")),
        (200, (b"content-length", b"-1")),
        (200, (b"content-length", b"+5")),
        (200, (b"content-length", b"5, 5")),
        (200, (b"content-length", b"0x5")),
        (200, (b"Content-Length", b"")),
        (200, (b"x-big", b"a" * 65_000)),
    ],
)
async def test_a_head_that_could_harm_is_a_502(stage: Stage, status: int, field: tuple[bytes, bytes]) -> None:
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        rogue.head(seen.stream.id, status, field, (b"x-more", b"c" * 1000))
        rogue.frame(FrameType.DATA, seen.stream.id, b"body")
        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert heads(answer) == 1
    assert b"injected" not in answer.lower().partition(b"\r\n\r\n")[0]
    assert b"\r\n\r\nbody" not in answer


@pytest.mark.parametrize(
    "fields",
    [((b"content-length", b"1"), (b"Content-Length", b"1")), tuple((b"x-%d" % n, b"") for n in range(129))],
    ids=["two lengths", "129 fields"],
)
async def test_fields_that_could_harm_together_are_a_502(stage: Stage, fields: tuple[tuple[bytes, bytes], ...]) -> None:
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        rogue.head(seen.stream.id, 200, *fields)
        assert (await client.rest()).startswith(b"HTTP/1.1 502 ")


async def test_hop_by_hop_and_reserved_fields_of_a_function_are_dropped(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head(
            200,
            (b"transfer-encoding", b"gzip, chunked"),
            (b"connection", b"x-private, keep-alive"),
            (b"x-private", b"secret"),
            (b"keep-alive", b"timeout=99"),
            (b"upgrade", b"h2c"),
            (b"proxy-authenticate", b"Basic"),
            (b"x-dialback-id", b"forged"),
            (b"x-dialback-other", b"forged"),
            (b"x-kept", b"yes"),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
        )
        seen.stream.write(b"x")
        seen.stream.end(Verdict.OK)
        answer = await client.rest()
    head = answer.partition(b"\r\n\r\n")[0].lower()
    for word in (b"gzip", b"private", b"keep-alive", b"upgrade", b"proxy-", b"forged", b"x-dialback-other"):
        assert word not in head
    assert b"x-kept: yes" in head
    assert head.count(b"set-cookie:") == 2
    assert head.count(b"x-dialback-id:") == 1


# --- bodies that are not what was announced -------------------------------------------------------------------------


async def test_a_body_that_is_too_short_ends_the_connection_and_answers_nothing_inside_it(stage: Stage) -> None:
    client, puppet, given = await stage.invoked()
    client.send(SECOND)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head(200, (b"content-length", b"1000"))
        seen.stream.write(b"ten bytes.")
        seen.stream.end(Verdict.OK)
        answer = await client.rest()
    assert answer.partition(b"\r\n\r\n")[2] == b"ten bytes."
    await puppet.respond(given)
    assert (await stage.trace(given.id))["error"] == "short_body"


async def test_a_body_that_is_too_long_is_exactly_its_length_and_the_worker_is_told_to_stop(stage: Stage) -> None:
    client, puppet, given = await stage.invoked()
    client.send(SECOND)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head(200, (b"content-length", b"5"))
        seen.stream.write(b"x" * 5_000_000)
        assert await seen.cancelled is Reason.OVERFLOW
        answer = await client.rest()
    assert answer.partition(b"\r\n\r\n")[2] == b"xxxxx"
    await puppet.respond(given)
    assert (await stage.trace(given.id))["error"] == "long_body"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_a_body_where_there_is_none_reaches_nobody(stage: Stage, method: str, status: int) -> None:
    client, puppet, given = await stage.invoked("/@f/", method=method)
    client.send(SECOND)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head(status, (b"content-length", b"9"))
        seen.stream.write(b"a body...")
        assert await seen.cancelled is Reason.NO_BODY
        await puppet.respond(given, {})
        await serve_well(client, puppet, rogue)
    assert b"a body" not in client.received
    assert heads(client.received) == 2
    assert (await stage.trace(given.id))["code"] == "--"


async def test_trailers_that_could_harm_are_dropped(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", "TE: trailers", "Connection: close, TE")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head(200, (b"trailer", b"x-sum"))
        seen.stream.write(b"data")
        seen.stream.trailers(((b"x-sum", b"1\r\n\r\nHTTP/1.1 200 injected"),))
        seen.stream.end(Verdict.OK)
        answer = await client.rest()
    assert b"injected" not in answer
    assert answer.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("status", [101, 103])
async def test_interim_responses_that_could_harm_are_dropped(stage: Stage, status: int) -> None:
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        field = (b"link", b"</a>" if status == 101 else b"</a>\r\nx-injected: 1")
        rogue.frame(FrameType.INFO, seen.stream.id, status.to_bytes(2, "big") + frames.encode_fields((field,)))
        seen.respond(b"well")
        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"injected" not in answer


async def test_early_hints_reach_the_client(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        rogue.frame(
            FrameType.INFO, seen.stream.id, (103).to_bytes(2, "big") + frames.encode_fields(((b"link", b"</a>"),))
        )
        seen.respond(b"well")
        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 103 ")
    assert heads(answer) == 2


# --- sheer amounts --------------------------------------------------------------------------------------------------


def rss_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def test_a_bridge_that_sends_what_nobody_reads_costs_no_memory(either: Stage) -> None:
    client, puppet, given = await either.invoked()
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        seen.stream.write(b"first")
        await client.until(b"first")
        before = rss_kib()
        for _ in range(200):
            rogue.raw(frames.pack_header(FrameType.DATA << 24 | 0xFFFFFF, seen.stream.id))
        assert await rogue.closed() in (FRAMING, 0)
        assert rss_kib() - before < 2048


async def test_a_flood_of_pings_and_empty_frames_leaves_the_platform_answering(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head(200, (b"content-length", b"4"))
        empty = frames.frame(FrameType.DATA, seen.stream.id)
        for _ in range(20):
            rogue.raw(empty * 1000)
            rogue.raw(frames.frame(FrameType.PING, 0, b"x") * 1000)
        seen.stream.write(b"well")
        seen.stream.end(Verdict.OK)
        assert (await client.rest()).endswith(b"well")
    assert caplog.records == []
