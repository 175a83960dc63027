"""What a worker that misuses its token meets (the numbers are those of the threat table in docs/security.md)."""

import asyncio
import logging
import re

import pytest
from websockets.exceptions import InvalidStatus

from dialback_wire.messages import Accept, Verdict

from .conftest import Stage
from .node import eventually
from .rogue import Rogue, dialled, upgrade

INSIDE = b"HTTP/1.1 401 Unauthorized\r\n"


def wrong(token: str) -> str:
    """The same token with another last character."""
    return token[:-1] + ("0" if token[-1] != "0" else "1")


def unknown(token: str) -> str:
    """A well-formed token of an invocation that never was."""
    receiver = token.split("_")[1]
    return f"db1_{receiver}_{'0' * 26}_{'a' * 64}"


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Authorization:",),
        ("Authorization: Bearer",),
        ("Authorization: Bearer ",),
        ("Authorization: Basic {token}",),
        ("Authorization: bearer {token}",),
        ("Authorization: {token}",),
        ("Authorization: Bearer  {token}",),
        ("Authorization: Bearer {token}x",),
        ("Authorization: Bearer db1_x_y_z",),
        ("Authorization: Bearer \xff\xfe",),
        ("Authorization: Bearer " + "a" * 7000,),
    ],
)
async def test_an_upgrade_without_a_well_formed_authorization_is_a_constant_401(
    stage: Stage, lines: tuple[str, ...]
) -> None:
    _, puppet, given = await stage.invoked()
    answers = {
        await upgrade(puppet.receiver, *(line.format(token=given.token) for line in lines)),
        await upgrade(puppet.receiver, f"Authorization: Bearer {unknown(given.token)}"),
    }
    assert len(answers) == 1
    answer = answers.pop()
    assert answer.startswith(INSIDE)
    assert len(answer) < 1024


async def test_a_wrong_secret_and_an_unknown_invocation_get_the_same_bytes(stage: Stage) -> None:
    _, puppet, given = await stage.invoked()
    secret = given.token.rsplit("_", 1)[1]
    bad = [wrong(given.token), given.token[:-2], given.token + "00", given.token.replace(secret, secret.upper() + "g")]
    tokens = [*bad, unknown(given.token), given.token.replace("db1_", "db2_")]
    answers = {await upgrade(puppet.receiver, f"Authorization: Bearer {token}") for token in tokens}
    assert len(answers) == 1
    assert answers.pop().startswith(INSIDE)
    async with dialled(puppet.receiver, given.token) as rogue:
        told = set()
        for token in tokens:
            seen = rogue.open(token)
            told.add((await seen.answer(), seen.reason))
        assert told == {(401, "unauthorized")}
        await rogue.accepted(given.token)


async def test_guesses_that_are_refused_use_no_token_up_and_are_counted(stage: Stage) -> None:
    client, puppet, given = await stage.invoked()
    for _ in range(20):
        await upgrade(puppet.receiver, f"Authorization: Bearer {wrong(given.token)}")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.respond(b"")
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_token_in_a_query_or_a_subprotocol_opens_nothing(stage: Stage) -> None:
    _, puppet, given = await stage.invoked()
    by_query = await upgrade(puppet.receiver, target=f"/callback/v1?token={given.token}")
    by_protocol = await upgrade(puppet.receiver, f"Sec-WebSocket-Protocol: dialback.1, {given.token}")
    assert by_query.startswith(INSIDE)
    assert by_protocol.startswith(INSIDE)
    assert given.token.encode() not in by_query + by_protocol


async def test_an_origin_is_a_403_even_with_a_good_token(stage: Stage) -> None:
    _, puppet, given = await stage.invoked()
    authorization = f"Authorization: Bearer {given.token}"
    for origin in ("http://localhost", "https://evil.example", "null"):
        answer = await upgrade(puppet.receiver, authorization, f"Origin: {origin}")
        assert answer.startswith(b"HTTP/1.1 403 ")


async def test_a_foreign_host_is_a_421_even_with_a_good_token(stage: Stage) -> None:
    _, puppet, given = await stage.invoked()
    authorization = f"Authorization: Bearer {given.token}"
    for host in ("evil.example", "localhost", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example"):
        answer = await upgrade(puppet.receiver, authorization, host=host)
        assert answer.startswith(b"HTTP/1.1 421 "), host


async def test_other_paths_and_plain_requests_give_nothing(stage: Stage) -> None:
    _, puppet, given = await stage.invoked()
    authorization = f"Authorization: Bearer {given.token}"
    assert (await upgrade(puppet.receiver, authorization, target="/")).startswith(b"HTTP/1.1 404 ")
    host, port = puppet.receiver["host"], puppet.receiver["port"]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /callback/v1 HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    async with dialled(puppet.receiver, given.token) as rogue:
        await rogue.accepted(given.token)


async def test_a_token_after_its_end_is_410_and_the_answer_is_untouched(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        first = await rogue.accepted(given.token)
        first.respond(b"whole")
        assert (await client.rest()).endswith(b"\r\n\r\nwhole")
        await puppet.respond(given, {"dialback": {"verdict": "ok", "count": 5}})
        again = rogue.open(given.token)
        assert (await again.answer(), again.reason) == (410, "this invocation is over")
    answer = await upgrade(puppet.receiver, f"Authorization: Bearer {given.token}")
    assert answer.startswith(b"HTTP/1.1 410 ")
    answer = await upgrade(puppet.receiver, f"Authorization: Bearer {wrong(given.token)}")
    assert answer.startswith(INSIDE), "what ended gives no oracle either"


async def test_a_second_use_while_the_first_streams_is_409_and_the_first_goes_on(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        first = await rogue.accepted(given.token)
        first.head(200, (b"content-length", b"8"))
        first.stream.write(b"half")
        await client.until(b"half")
        with pytest.raises(InvalidStatus) as refused:
            await dialled(puppet.receiver, given.token).__aenter__()
        assert refused.value.response.status_code == 409
        again = rogue.open(given.token)
        assert (await again.answer(), again.reason) == (409, "this token is in use")
        first.stream.write(b"more")
        first.stream.end(Verdict.OK)
        assert (await client.rest()).endswith(b"\r\n\r\nhalfmore")


async def test_fifty_sockets_that_race_with_one_token_get_exactly_one_accept(stage: Stage) -> None:
    _, puppet, given = await stage.invoked()
    sockets = [dialled(puppet.receiver, given.token) for _ in range(50)]
    rogues: list[Rogue] = list(await asyncio.gather(*(socket.__aenter__() for socket in sockets)))
    try:
        answers = await asyncio.gather(*(rogue.open(given.token).answer() for rogue in rogues))
    finally:
        await asyncio.gather(*(socket.__aexit__(None, None, None) for socket in sockets))
    assert sum(isinstance(answer, Accept) for answer in answers) == 1
    assert [answer for answer in answers if not isinstance(answer, Accept)] == [409] * 49


async def test_a_worker_cannot_open_another_workers_invocation(stage: Stage) -> None:
    await stage.deploy_puppet("g")
    _, mine, given = await stage.invoked("/@f/")
    client, other, theirs = await stage.invoked("/@g/", "Connection: close")
    async with dialled(mine.receiver, given.token) as rogue:
        stolen = rogue.open(theirs.token)
        assert (await stolen.answer(), stolen.reason) == (401, "unauthorized")
    async with dialled(other.receiver, theirs.token) as good:
        seen = await good.accepted(theirs.token)
        seen.respond(b"mine")
        assert (await client.rest()).endswith(b"\r\n\r\nmine")


async def test_a_worker_cannot_answer_another_workers_invocation_at_the_runtime_api(stage: Stage) -> None:
    # Nobody dials back here: the time for that must not run out on a busy machine.
    await stage.deploy_puppet("f", timeouts={"start": 60.0})
    await stage.deploy_puppet("g", timeouts={"start": 60.0})
    _, mine, _ = await stage.invoked("/@f/")
    _, other, theirs = await stage.invoked("/@g/")
    assert await mine.respond(theirs, {"statusCode": 200}) == 400
    assert await mine.fail(theirs, "Error") == 400
    assert await mine.post("invocation/next", method="GET", secret=other.config["secret"]) == 403
    assert other.idle


async def test_a_late_token_is_410_when_the_client_has_its_504(stage: Stage) -> None:
    await stage.deploy_puppet("late", timeouts={"start": 4.0})
    client, puppet, given = await stage.invoked("/@late/", "Connection: close")
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"timeout_start" in answer
    refused = await upgrade(puppet.receiver, f"Authorization: Bearer {given.token}")
    assert refused.startswith(b"HTTP/1.1 410 ")


async def test_a_token_of_a_client_that_left_is_410(stage: Stage) -> None:
    client, puppet, given = await stage.invoked()
    client.close()
    async with asyncio.timeout(30):
        while True:
            answer = await upgrade(puppet.receiver, f"Authorization: Bearer {given.token}")
            if answer.startswith(b"HTTP/1.1 410 "):
                break
    assert await puppet.respond(given, {}) == 202


async def test_tokens_are_random_and_in_no_trace_log_or_answer(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    logging.getLogger("websockets").setLevel("WARNING")  # the rogue's own
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    other = await stage.client()
    other.get("/@f/")
    second = await puppet.given()
    secrets = {one.token.rsplit("_", 1)[1] for one in (given, second)}
    assert len(secrets) == 2
    puppet.do(print=f"this worker prints {given.token}")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.stream.end(Verdict.ERROR, status=500, code="handler_error", detail=f"failed with {given.token}")
        answer = await client.rest()
    await puppet.respond(given, {})
    trace = await stage.control.get(f"/v1/invocations/{given.id}")
    assert trace.json()["payload"]["dialback"]["token"].endswith("[redacted]")

    async def logged() -> str:
        logs = await stage.control.get("/v1/functions/f/logs")
        return logs.text if "this worker prints" in logs.text else ""

    shown = answer.decode() + trace.text + caplog.text + await eventually(logged)
    for secret in secrets:
        assert secret not in shown
    assert not re.search(r"db1_[0-9a-z]+_[0-9a-z]+_[0-9a-f]{64}", shown)
