"""The receiver's Unix socket: whose connection it is, and who is shown out."""

import asyncio
from collections.abc import Callable

import pytest

from dialback_invoker import stream_socket
from dialback_wire.messages import Accept, Verdict

from .conftest import Stage
from .rogue import dialled
from .strings import BOUND
from .test_tokens import unknown, wrong


async def ended_token(local: Stage) -> str:
    """A real token whose invocation is over."""
    client, puppet, given = await local.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        (await rogue.accepted(given.token)).respond(b"over")
        assert (await client.rest()).endswith(b"over")
    await puppet.respond(given)
    local.first = puppet  # type: ignore[attr-defined]
    return given.token


@pytest.mark.parametrize("spoil", [wrong, unknown, lambda token: "", lambda token: "x" * 500])
async def test_a_stranger_is_told_401_and_shown_out(local: Stage, spoil: object) -> None:
    assert callable(spoil)
    client, puppet, given = await local.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, "") as rogue:
        stranger = rogue.open(spoil(given.token))
        assert (await stranger.answer(), stranger.reason) == (401, "unauthorized")
        await rogue.closed()
    async with dialled(puppet.receiver, "") as rogue:
        (await rogue.accepted(given.token)).respond(b"unharmed")
        assert (await client.rest()).endswith(b"unharmed")


async def test_a_wrong_token_on_a_bridges_own_socket_ends_only_its_own_stream(local: Stage) -> None:
    client, puppet, given = await local.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, "") as rogue:
        seen = await rogue.accepted(given.token)
        for _ in range(20):
            assert await rogue.open(unknown(given.token)).answer() == 401
        seen.respond(b"unharmed")
        assert (await client.rest()).endswith(b"unharmed")


async def test_a_token_that_came_too_late_does_not_cost_the_next_its_socket(local: Stage) -> None:
    late = await ended_token(local)
    client = await local.client()
    client.get("/@f/", "Connection: close")
    puppet = local.first  # type: ignore[attr-defined]
    given = await puppet.given()
    async with dialled(puppet.receiver, "") as rogue:
        first, second = rogue.open(late), rogue.open(given.token)
        assert await first.answer() == 410
        assert isinstance(await second.answer(), Accept)
        second.respond(b"in time")
        assert (await client.rest()).endswith(b"in time")


async def test_a_bridge_whose_first_token_came_too_late_keeps_its_socket(
    local: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_socket, "TOKEN_SECONDS", 0.05)
    late = await ended_token(local)
    puppet = local.first  # type: ignore[attr-defined]
    async with dialled(puppet.receiver, "") as rogue:
        assert await rogue.open(late).answer() == 410
        async with dialled(puppet.receiver, "") as silent:
            await silent.closed()  # so long did the other wait too
        client = await local.client()
        client.get("/@f/", "Connection: close")
        given = await puppet.given()
        (await rogue.accepted(given.token)).respond(b"on the old socket")
        assert (await client.rest()).endswith(b"on the old socket")


async def test_fifty_local_sockets_that_race_with_one_token_get_exactly_one_accept(local: Stage) -> None:
    _, puppet, given = await local.invoked()
    sockets = [dialled(puppet.receiver, "") for _ in range(50)]
    rogues = list(await asyncio.gather(*(socket.__aenter__() for socket in sockets)))
    try:
        answers = await asyncio.gather(*(rogue.open(given.token).answer() for rogue in rogues))
    finally:
        await asyncio.gather(*(socket.__aexit__(None, None, None) for socket in sockets))
    assert sum(isinstance(answer, Accept) for answer in answers) == 1
    assert [answer for answer in answers if not isinstance(answer, Accept)] == [409] * 49


async def test_a_local_socket_is_its_workers_alone(local: Stage) -> None:
    await local.deploy_puppet("g")
    _, mine, given = await local.invoked("/@f/")
    client, other, theirs = await local.invoked("/@g/", "Connection: close")
    async with dialled(mine.receiver, "") as rogue:
        await rogue.accepted(given.token)
        assert await rogue.open(theirs.token).answer() == 401
    async with dialled(other.receiver, "") as good:
        (await good.accepted(theirs.token)).respond(b"mine")
        assert (await client.rest()).endswith(b"mine")


async def test_a_client_that_does_not_read_holds_the_bridge_back_and_the_trace_says_so(local: Stage) -> None:
    client, puppet, given = await local.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, "") as rogue:
        seen = await rogue.accepted(given.token)
        size = 30_000_000
        seen.head(200, (b"content-length", b"%d" % size))
        seen.stream.write(bytes(size))
        seen.stream.end(Verdict.OK)
        await client.until(b"\r\n\r\n")
        held = await settled(lambda: seen.sent)
        assert held < size / 2
        assert await client.swallow() > size - len(client.received)
        await asyncio.wait_for(seen.closed.wait(), BOUND)
    await puppet.respond(given)
    blocked = (await local.trace(given.id))["blocked"]
    assert blocked["client_ms"] > 250


async def settled(look: Callable[[], int]) -> int:
    """A number that has not changed for 0.3 seconds."""
    while True:
        before = look()
        await asyncio.sleep(0.3)
        if look() == before:
            return before


async def test_when_the_receiver_stops_its_bridges_hear_it(local: Stage) -> None:
    _, puppet, given = await local.invoked()
    async with dialled(puppet.receiver, "") as rogue:
        await rogue.accepted(given.token)
        stopping = asyncio.create_task(local.invoker.stop())
        await rogue.closed()
        await stopping
