"""The simulator between a client and a server that both do as they are told: what passes, when, and how it ends."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dialback.errors import StartProblem
from dialback.simulators.conditions import Conditions, Drop
from dialback.simulators.proxy import Simulator

COMMAND = Path(sys.executable).with_name("dialback")
BOUND = 15.0
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each connection with `talk`; remembers how it ended."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            await self.talk(reader, writer)
            self.ended.put_nowait("well" if await reader.read() == b"" else "more")
        except ConnectionError:
            self.ended.put_nowait("reset")
        writer.close()


@asynccontextmanager
async def between(
    conditions: Conditions, talk: Talk
) -> AsyncIterator[tuple[Server, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection through a simulator to a server."""
    server = Server(talk)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    simulator = Simulator(conditions, *listening.sockets[0].getsockname()[:2])
    host, port = await simulator.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        async with asyncio.timeout(BOUND):
            yield server, reader, writer
    finally:
        await simulator.close(0.0)
        listening.close()
        for each in (writer, *server.writers):
            each.transport.abort()
            await asyncio.gather(each.wait_closed(), return_exceptions=True)


async def test_everything_passes_both_ways_and_the_end_with_it() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()

    async with between(Conditions(latency=0.001), echo) as (server, reader, writer):
        sent = bytes(range(256)) * 4000
        writer.write(sent)
        writer.write_eof()
        assert await reader.read(-1) == sent
        assert await server.ended.get() == "well"


async def test_a_buffering_proxy_holds_what_has_not_filled_a_block() -> None:
    go = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"first")
        await go.wait()
        writer.write(b"x" * 5000)
        writer.write_eof()

    async with between(Conditions(buffering_proxy=True), talk) as (_, reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        begun = asyncio.create_task(reader.readexactly(4096))
        done, _ = await asyncio.wait((begun,), timeout=0.2)
        assert not done, "nothing of the head, nothing of the first part"
        go.set()
        assert (await begun).startswith(HEAD + b"firstxxx")
        assert len(await reader.read(-1)) == len(HEAD) + 5005 - 4096


async def test_latency_is_there_in_both_directions_and_keeps_the_order() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)

    async with between(Conditions(latency=0.2), echo) as (_, reader, writer):
        began = asyncio.get_running_loop().time()
        for number in range(20):
            writer.write(b"%d\n" % number)
            await asyncio.sleep(0)
        lines = [await reader.readline() for _ in range(20)]
        took = asyncio.get_running_loop().time() - began
    assert lines == [b"%d\n" % number for number in range(20)]
    assert took >= 0.2


async def test_a_slow_client_holds_the_server_up() -> None:
    written = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.transport.set_write_buffer_limits(high=0)
        while True:
            writer.write(b"x" * 4096)
            await writer.drain()
            written += 4096

    async with between(Conditions(slow_client=20_000), talk) as (server, reader, writer):
        got = len(await reader.readexactly(10_000))
        assert got == 10_000
        assert written < 16_000_000, "without back-pressure gigabytes would have been written by now"
        writer.transport.abort()
        assert await server.ended.get() == "reset"


async def test_the_rate_is_kept() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 10_000)
        writer.write_eof()

    async with between(Conditions(slow_client=20_000), talk) as (_, reader, _):
        began = asyncio.get_running_loop().time()
        assert len(await reader.read(-1)) == 10_000
        assert asyncio.get_running_loop().time() - began >= 0.4


async def test_a_connection_is_cut_after_so_many_bytes_and_both_sides_see_it() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 1000)
            await writer.drain()

    async with between(Conditions(drop_after=Drop(size=5000)), talk) as (server, reader, _):
        with pytest.raises(ConnectionError):
            await reader.readexactly(5001)
        assert await server.ended.get() == "reset"


async def test_a_connection_is_cut_after_some_time() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"begun")
        await reader.read()

    async with between(Conditions(drop_after=Drop(seconds=0.2)), talk) as (server, reader, _):
        assert await reader.readexactly(5) == b"begun"
        with pytest.raises(ConnectionError):
            await reader.read(1)
        assert await server.ended.get() in ("reset", "well")


async def test_a_reset_of_the_server_is_a_reset_for_the_client() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await writer.drain()
        await reader.readexactly(1)
        import socket
        import struct

        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with between(Conditions(latency=0.001), talk) as (_, reader, writer):
        assert await reader.readexactly(len(HEAD)) == HEAD
        writer.write(b"x")
        with pytest.raises(ConnectionError):
            await reader.read(1)


async def test_a_server_that_is_not_there_is_a_reset() -> None:
    simulator = Simulator(Conditions(latency=0.001), "127.0.0.1", 1)
    reader, writer = await asyncio.open_connection(*await simulator.start("127.0.0.1", 0))
    async with asyncio.timeout(BOUND):
        with pytest.raises(ConnectionError):
            await reader.read(1)
    writer.transport.abort()
    await simulator.close(0.0)


async def test_a_port_that_is_taken_is_a_start_problem() -> None:
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()[:2]
    with pytest.raises(StartProblem, match=f"port {port} on 127.0.0.1 is in use; choose another with --port"):
        await Simulator(Conditions(), host, port).start(host, port)
    listening.close()


def test_the_command_stands_in_front_of_any_server() -> None:
    process = subprocess.Popen(
        [COMMAND, "simulate", "http://127.0.0.1:9", "--latency", "5ms", "--json"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert ready["event"] == "ready"
    assert ready["url"].startswith("http://127.0.0.1:")
    assert ready["simulating"] == ["a long way: 5.0 ms more for each round trip"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://127.0.0.1:9"], "nothing is to be simulated"),
        (["https://127.0.0.1", "--latency", "5ms"], "is not the address of a server"),
        (["http://127.0.0.1:x", "--latency", "5ms"], "is not the address of a server"),
        (["http://127.0.0.1:9/path", "--latency", "5ms"], "is not the address of a server"),
        (["http://127.0.0.1:9", "--latency", "5"], "--latency: '5' is not a number and a unit"),
        (["http://127.0.0.1:9", "--slow-client", "8kB"], "--slow-client: '8kB' is not a rate"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], message: str) -> None:
    done = subprocess.run([COMMAND, "simulate", *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert message in done.stderr
