"""The runtime API over a real Unix socket, byte for byte where it matters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.invoker.workers.conftest import within

from dialback_invoker import runtime_api
from dialback_invoker.errors import PathProblem
from dialback_invoker.runtime_api import MAX_ANSWER, FunctionError, Payload, Poll, parse_error
from dialback_invoker.runtime_http import MAX_HEAD, MAX_WAITING, Connection, RuntimeServer

NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\n\r\n"


@dataclass
class FakeDesk:
    """Knows the invocation "i1", keeps polls."""

    polls: list[Poll] = field(default_factory=list)
    gone: int = 0
    seen: list[object] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    broken: bool = False

    def poll(self, poll: Poll) -> None:
        if self.broken:
            raise RuntimeError("a fault of ours")
        self.polls.append(poll)
        self.changed.set()

    def poll_gone(self, poll: Poll) -> None:
        self.gone += 1
        self.changed.set()

    def response(self, invocation_id: str, body: bytes) -> bool:
        self.seen.append(("response", invocation_id, body))
        return invocation_id == "i1"

    def error(self, invocation_id: str, error: FunctionError) -> bool:
        self.seen.append(("error", invocation_id, error))
        return invocation_id == "i1"

    def init_error(self, error: FunctionError) -> None:
        self.seen.append(("init_error", error))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.polls) < count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def server(desk: FakeDesk, run_dir: Path) -> AsyncIterator[RuntimeServer]:
    made = RuntimeServer(desk, "s3cret")
    await made.start(run_dir / "s")
    yield made
    made.close()


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(30):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in head[1:-2])
            return int(head[0].split()[1]), fields, await self.reader.readexactly(int(fields["content-length"]))

    async def post(self, path: str, body: bytes = b"{}", secret: str = "s3cret") -> tuple[int, dict[str, str], bytes]:
        head = f"POST /2018-06-01/runtime/{path} HTTP/1.1\r\nauthorization: Bearer {secret}\r\n"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return await self.answer()


@pytest.fixture
async def client(server: RuntimeServer, run_dir: Path) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_unix_connection(str(run_dir / "s"))
    yield Client(reader, writer)
    writer.close()


async def test_next_waits_and_is_answered_with_the_event(client: Client, desk: FakeDesk) -> None:
    client.writer.write(NEXT)
    await desk.until(1)
    desk.polls[0].answer(Payload("i1", b'{"a":1}', 1234, {"Lambda-Runtime-Trace-Id": "Root=1"}))
    status, fields, body = await client.answer()
    assert (status, body) == (200, b'{"a":1}')
    assert fields == {
        "content-type": "application/json",
        "lambda-runtime-aws-request-id": "i1",
        "lambda-runtime-deadline-ms": "1234",
        "lambda-runtime-trace-id": "root=1",
        "content-length": "7",
    }


async def test_a_connection_serves_many_calls_and_also_pipelined_ones(client: Client, desk: FakeDesk) -> None:
    client.writer.write(NEXT * 3)
    for count in range(1, 4):
        await desk.until(count)
        assert len(desk.polls) == count  # the second is looked at when the first is answered
        desk.polls[-1].answer(Payload(f"i{count}", b"{}", 0))
        assert (await client.answer())[1]["lambda-runtime-aws-request-id"] == f"i{count}"
    assert (await client.post("invocation/i1/response", b"whole"))[0] == 202
    assert desk.seen == [("response", "i1", b"whole")]


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: asyncio.Queue[bytes] = asyncio.Queue()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.put_nowait(bytes(data))

    def is_closing(self) -> bool:
        return False


async def test_the_answer_to_a_result_and_the_next_event_leave_in_one_write(desk: FakeDesk) -> None:
    wire = Wire()
    connection = Connection(desk, lambda _: True, set())
    connection.connection_made(wire)
    result = (
        b"POST /2018-06-01/runtime/invocation/i1/response HTTP/1.1\r\nauthorization: x\r\ncontent-length: 0\r\n\r\n"
    )
    connection.data_received(result + NEXT)
    desk.polls[0].answer(Payload("i2", b"the event", 0))
    written = await within(wire.written.get())
    assert written.startswith(b"HTTP/1.1 202 ")
    assert written.endswith(b"\r\n\r\nthe event")
    assert wire.written.empty()


async def test_requests_may_come_byte_by_byte(client: Client, desk: FakeDesk) -> None:
    for byte in NEXT:
        client.writer.write(bytes([byte]))
        await client.writer.drain()
    await desk.until(1)


async def test_a_retired_worker_is_told_410(client: Client, desk: FakeDesk) -> None:
    client.writer.write(NEXT)
    await desk.until(1)
    desk.polls[0].retire()
    assert (await client.answer())[0] == 410
    assert await within(client.reader.read()) == b""
    assert desk.gone == 0


async def test_a_poll_whose_connection_broke_is_forgotten(client: Client, desk: FakeDesk) -> None:
    client.writer.write(NEXT)
    await desk.until(1)
    client.writer.close()
    async with asyncio.timeout(30):
        while not desk.gone:
            desk.changed.clear()
            await desk.changed.wait()
    desk.polls[0].answer(Payload("i1", b"{}", 0))  # too late, and harmless
    desk.polls[0].retire()


@pytest.mark.parametrize("secret", ["", "s3cre", "s3cret2", "S3cret", "x" * 1000])
async def test_a_wrong_secret_is_403_and_reaches_nobody(client: Client, desk: FakeDesk, secret: str) -> None:
    assert (await client.post("invocation/i1/response", secret=secret))[0] == 403
    assert await within(client.reader.read()) == b""
    assert desk.seen == []


async def test_no_secret_gets_no_payload(client: Client, desk: FakeDesk) -> None:
    client.writer.write(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n" + NEXT)
    assert (await client.answer())[0] == 403
    assert desk.polls == []


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("POST /2018-06-01/runtime/invocation/other/response", 400),
        ("POST /2018-06-01/runtime/invocation/other/error", 400),
        ("POST /2018-06-01/runtime/invocation//error", 404),
        ("POST /2018-06-01/runtime/nothing", 404),
        ("GET /2018-06-01/runtime/nothing", 404),
        ("GET /other", 404),
        ("GET /2018-06-01/runtime/init/error", 405),
        ("DELETE /2018-06-01/runtime/invocation/next", 405),
        ("POST /2018-06-01/runtime/invocation/next", 404),
    ],
)
async def test_what_is_not_there(client: Client, request_line: str, status: int) -> None:
    client.writer.write(
        f"{request_line} HTTP/1.1\r\nAuthorization: Bearer s3cret\r\nContent-Length: 0\r\n\r\n".encode()
    )
    answer = await client.answer()
    assert answer[0] == status
    assert "errorType" in json.loads(answer[2])
    assert (await client.post("invocation/i1/response"))[0] == 202  # the connection is as good as before


async def test_errors_are_read(client: Client, desk: FakeDesk) -> None:
    body = json.dumps({"errorType": "ValueError", "errorMessage": "bad", "stackTrace": ["a", 1]}).encode()
    assert (await client.post("invocation/i1/error", body))[::2] == (202, b'{"status":"OK"}')
    assert (await client.post("init/error", body))[0] == 202
    error = FunctionError("ValueError", "bad", ("a", "1"))
    assert desk.seen == [("error", "i1", error), ("init_error", error)]
    assert error.text() == "ValueError: bad\na\n1"
    assert FunctionError("E", "").text() == "E"


async def test_an_answer_over_six_megabytes_is_413_and_an_error_of_the_invocation(
    client: Client, desk: FakeDesk
) -> None:
    assert (await client.post("invocation/i1/response", b"x" * MAX_ANSWER))[0] == 202
    assert (await client.post("invocation/i1/response", b"x" * (MAX_ANSWER + 1)))[0] == 413
    assert (await client.post("invocation/no/response", b"x" * (MAX_ANSWER + 1)))[0] == 400
    assert (await client.post("init/error", b"x" * (MAX_ANSWER + 1)))[0] == 202
    _, _, error = desk.seen[1]  # type: ignore[misc]
    assert error.type == "Function.ResponseSizeTooLarge"


@pytest.mark.parametrize(
    "data",
    [b"\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"GET /" + b"x" * MAX_HEAD * 2],
)
async def test_what_is_not_http_is_refused(client: Client, data: bytes) -> None:
    client.writer.write(data)
    assert (await client.answer())[0] == 400
    assert await within(client.reader.read()) == b""


async def test_too_many_pipelined_requests_are_refused(client: Client, desk: FakeDesk) -> None:
    client.writer.write(NEXT * (MAX_WAITING + 3))
    assert (await client.answer())[0] == 400
    assert desk.gone == 1


async def test_a_fault_of_ours_is_reported_and_cuts_the_connection(client: Client, desk: FakeDesk) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    desk.broken = True
    client.writer.write(NEXT)
    assert await within(client.reader.read()) == b""
    assert told


async def test_closing_cuts_every_connection(server: RuntimeServer, client: Client, desk: FakeDesk) -> None:
    client.writer.write(NEXT)
    await desk.until(1)
    assert server.connections == 1
    server.close()
    server.close()
    assert await within(client.reader.read()) == b""
    assert server.connections == 0


async def test_a_path_that_cannot_be_listened_on(desk: FakeDesk, run_dir: Path) -> None:
    with pytest.raises(PathProblem, match="too long"):
        await RuntimeServer(desk, "s").start(run_dir / ("x" * 120))
    with pytest.raises(PathProblem, match="cannot listen"):
        await RuntimeServer(desk, "s").start(run_dir / "missing" / "s")


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"[" * 100_000, b'"x"', b"\xff"])
def test_an_error_that_makes_no_sense_is_still_one(body: bytes) -> None:
    assert parse_error(body).type == "Runtime.Unknown"


def test_an_error_is_bounded() -> None:
    huge = {"errorType": "T" * 10**6, "errorMessage": None, "stackTrace": ["x" * 10**5] * 1000}
    error = parse_error(json.dumps(huge).encode())
    assert (len(error.type), error.message, len(error.stack), len(error.stack[0])) == (256, "", 200, 4096)


def test_the_status_of_a_reply_is_known() -> None:
    assert runtime_api.OK.status == 202
