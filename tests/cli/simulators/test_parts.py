"""The parts of the simulators that do no I/O: units, the buffering proxy, what is said about them."""

from pathlib import Path

import pytest

from dialback.simulators import units
from dialback.simulators.buffering import LONGEST_HEAD, Buffering
from dialback.simulators.conditions import Conditions, Drop, drop

HERE = Path()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.mark.parametrize(
    ("parse", "said", "meant"),
    [
        (units.rate, "8kB/s", 8000),
        (units.rate, "1.5MiB/s", 1.5 * 2**20),
        (units.rate, "500 B/s", 500),
        (units.duration, "200ms", 0.2),
        (units.duration, "1.5s", 1.5),
        (units.duration, "2m", 120),
        (units.size, "64kB", 64_000),
        (units.size, "64KiB", 65_536),
        (drop, "3s", Drop(seconds=3)),
        (drop, "1MB", Drop(size=1_000_000)),
    ],
)
def test_amounts_carry_their_unit(parse: object, said: str, meant: object) -> None:
    assert parse(said, HERE) == meant  # type: ignore[operator]


@pytest.mark.parametrize(
    ("parse", "said"),
    [
        *(
            (units.rate, said)
            for said in ("8", "8kB", "8 kb/s", "8KB/s", "-8kB/s", "kB/s", "8kB/m", "0B/s", "8kB/s ", 8)
        ),
        *((units.duration, said) for said in ("200", "200ms/s", "0ms", "2h", "61m", "ms", "1e3ms", True)),
        *((units.size, said) for said in ("64", "64k", "64kB/s", "0B", "9999999GiB", ["64kB"])),
        *((drop, said) for said in ("64", "64 bytes", "3", "0s", "0B", "62m", "1MB/s", 3)),
    ],
)
def test_what_is_no_amount_is_refused(parse: object, said: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(said, HERE)  # type: ignore[operator]


def test_blocks_pass_when_they_are_full_and_the_rest_with_the_end() -> None:
    proxy = Buffering(block=100)
    assert proxy.response(HEAD[:20]) == b""
    assert proxy.response(HEAD[20:]) == b"", "the head waits for the first block"
    first = proxy.response(b"a" * 60)
    assert first == (HEAD + b"a" * 60)[:100]
    assert proxy.response(b"b" * 10) == b""
    assert proxy.response(b"c" * 300) == (HEAD + b"a" * 60 + b"b" * 10 + b"c" * 300)[100:400]
    assert proxy.end() == b"c" * 22


def test_a_response_may_ask_not_to_be_buffered_and_the_proxy_keeps_the_field() -> None:
    proxy = Buffering()
    head = HEAD.replace(b"\r\n\r\n", b"\r\nX-Accel-Buffering:  NO\r\nX-Last: 1\r\n\r\n")
    assert proxy.response(head + b"data") == HEAD.replace(b"\r\n\r\n", b"\r\nX-Last: 1\r\n\r\n") + b"data"
    assert proxy.response(b"more") == b"more"
    assert proxy.end() == b""
    other = Buffering()
    assert other.response(HEAD.replace(b"\r\n\r\n", b"\r\nX-Accel-Buffering: yes\r\n\r\n")) == b""
    assert other.end() == HEAD


def test_an_interim_response_is_no_head() -> None:
    proxy = Buffering()
    assert proxy.response(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD[:-4]) == b""
    assert proxy.response(b"\r\nX-Accel-Buffering: no\r\n\r\nx") == b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"x"


def test_what_came_before_a_cut_is_passed_on() -> None:
    proxy = Buffering()
    proxy.response(HEAD[:30])
    assert proxy.end() == HEAD[:30]


def test_a_head_without_an_end_is_not_held_for_ever() -> None:
    proxy = Buffering()
    endless = b"HTTP/1.1 200 OK\r\nX: " + b"x" * LONGEST_HEAD
    assert len(proxy.response(endless)) + len(proxy.end()) == len(endless)
    assert len(Buffering().request(endless)) == len(endless)


def test_each_request_has_a_connection_of_its_own_to_the_edge() -> None:
    proxy = Buffering()
    assert proxy.request(b"POST / HTTP/1.1\r\nHost: x\r\n") == b""
    assert proxy.request(b"A: b\r\n\r\nbody") == b"POST / HTTP/1.1\r\nHost: x\r\nA: b\r\nConnection: close\r\n\r\nbody"
    assert proxy.request(b"more\r\n\r\n") == b"more\r\n\r\n"


def test_what_is_simulated_is_said_in_words() -> None:
    assert not Conditions().any
    every = Conditions(slow_client=8000, latency=0.2, drop_after=Drop(size=64_000), buffering_proxy=True)
    assert every.any
    said = "\n".join((*every.lines(), *Conditions(drop_after=Drop(seconds=3)).lines()))
    for words in ("4.0 KiB are there", "7.8 KiB a second", "200 ms more", "after 62.5 KiB of response", "after 3.00 s"):
        assert words in said
