"""The reading end of a pipe: what comes out of it, and who closes it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from io import FileIO

import pytest
import uvloop

from dialback_invoker.read_pipe import read_pipe

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(params=LOOPS)
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return LOOPS[request.param]


class Gathering(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.over = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(None)


def test_a_pipe_is_read_to_its_end_and_closed(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def read() -> tuple[bytes, int]:
        ours, theirs = os.pipe()
        gathering = Gathering()
        transport = await read_pipe(lambda: gathering, ours)
        os.write(theirs, b"said")
        os.close(theirs)
        await asyncio.wait_for(gathering.over, 5)
        transport.close()
        return gathering.data, ours

    with asyncio.Runner(loop_factory=new_loop) as runner:
        data, handle = runner.run(read())
    assert data == b"said"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_the_descriptor_is_closed_by_the_loop_or_by_the_file_and_never_by_both(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def closes() -> bool:
        ours, theirs = os.pipe()
        os.close(theirs)
        transport = await read_pipe(Gathering, ours)
        file: FileIO = transport.get_extra_info("pipe")
        transport.close()
        return file.closefd

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(closes()) is (new_loop is asyncio.new_event_loop)
