"""What curl and httpx make of it."""

import asyncio
import shutil

import httpx
import pytest
from edge_kit import Call, Front

from dialback_wire.messages import Verdict

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


async def curl(*arguments: str, send: bytes = b"") -> tuple[int, bytes]:
    """Exit code and output."""
    process = await asyncio.create_subprocess_exec(
        "curl",
        "--silent",
        "--max-time",
        "5",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(send)
    assert process.returncode is not None
    return process.returncode, output


def broken(call: Call) -> None:
    call.head(200)
    call.stream.write(b"partial")
    call.stream.end(Verdict.TRUNCATED)


def short(call: Call) -> None:
    call.head(200, (b"content-length", b"100"))
    call.stream.write(b"partial")
    call.stream.end(Verdict.OK)


@needs_curl
@pytest.mark.parametrize(("handler", "more", "code"), [(broken, (), 18), (short, (), 18), (broken, ("--http1.0",), 56)])
async def test_curl_reports_a_truncation(front: Front, handler: object, more: tuple[str, ...], code: int) -> None:
    front.invoker.handler = handler  # type: ignore[assignment]
    await front.start()
    assert await curl(*more, front.url) == (code, b"partial")


@needs_curl
async def test_curl_uploads_with_100_continue(front: Front) -> None:
    front.invoker.handler = lambda call: call.answer(b"%d" % len(call.body))
    await front.start()
    inviting = asyncio.ensure_future(_invite(front))
    code, output = await curl("-v", "-H", "Expect: 100-continue", "-T", "-", front.url, send=b"x" * 2_000_000)
    assert (code, output) == (0, b"2000000")
    await inviting


async def _invite(front: Front) -> None:
    (await front.invoker.call()).stream.invite()


@needs_curl
async def test_curl_with_an_h2c_upgrade_and_a_body_is_served(front: Front) -> None:
    front.invoker.handler = lambda call: call.answer(bytes(call.body))
    await front.start()
    assert await curl("--http2", "-d", "some body", front.url) == (0, b"some body")


@needs_curl
async def test_curl_gets_a_head_and_the_next_answer_on_one_connection(front: Front) -> None:
    front.invoker.handler = lambda call: call.answer(b"0123456789")
    await front.start()
    code, output = await curl("-I", front.url, "--next", "--silent", "-w", "%{num_connects}", front.url)
    assert code == 0
    assert output.endswith(b"\r\n\r\n01234567890")


@pytest.mark.parametrize("handler", [broken, short])
async def test_httpx_reports_a_truncation(front: Front, handler: object) -> None:
    front.invoker.handler = handler  # type: ignore[assignment]
    await front.start()
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(front.url)


async def test_httpx_streams_and_reuses_its_connection(front: Front) -> None:
    await front.start()
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(3):
            async with client.stream("POST", front.url, content=_pieces()) as response:
                received = [chunk async for chunk in response.aiter_raw()]
            assert b"".join(received) == b"echo: abc"
    assert front.service is not None
    assert len(front.invoker.calls) == 3
    assert len({call.request.peer for call in front.invoker.calls}) == 1


async def _pieces():  # type: ignore[no-untyped-def]
    for piece in (b"a", b"b", b"c"):
        yield piece


@pytest.fixture(autouse=True)
def _echo(front: Front) -> None:
    def echo(call: Call) -> None:
        call.head(200)
        call.stream.write(b"echo: ")
        call.stream.write(bytes(call.body))
        call.stream.end(Verdict.OK)

    front.invoker.handler = echo
