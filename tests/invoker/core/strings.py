"""The test's side of a puppet worker: what it was given, and what it shall do."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BOUND = 30.0


@dataclass(frozen=True)
class Given:
    """One payload that a worker was handed."""

    event: dict[str, Any]
    headers: dict[str, str]

    @property
    def id(self) -> str:
        return str(self.event["requestContext"]["requestId"])

    @property
    def token(self) -> str:
        return str(self.event["dialback"]["token"])


class Puppet:
    """One worker on strings."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._given: asyncio.Queue[Given] = asyncio.Queue()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.config: dict[str, Any] = {}
        self.pid = 0
        self.retired = asyncio.Event()
        self.gone = asyncio.Event()

    async def begin(self) -> bool:
        """Whether it says who it is; one that is ended before does not."""
        line = await self._reader.readline()
        if not line:
            return False
        first = json.loads(line)
        self.config, self.pid = first["config"], first["pid"]
        return True

    async def listen(self) -> None:
        while line := await self._reader.readline():
            said = json.loads(line)
            if "payload" in said:
                self._given.put_nowait(Given(said["payload"], {k.lower(): v for k, v in said["headers"].items()}))
            elif "retired" in said:
                self.retired.set()
            else:
                self._answers.put_nowait(said)
        self.gone.set()
        self._writer.close()

    @property
    def receiver(self) -> dict[str, Any]:
        """The one address that it may dial, from the launch configuration."""
        (allowed,) = self.config["allow"]
        return dict(allowed)

    async def given(self) -> Given:
        return await asyncio.wait_for(self._given.get(), BOUND)

    @property
    def idle(self) -> bool:
        """Whether it was given nothing more."""
        return self._given.empty()

    def do(self, **command: Any) -> None:
        self._writer.write(json.dumps(command).encode() + b"\n")

    async def post(self, path: str, body: Any = None, **more: Any) -> int:
        """Ask the runtime API; its status."""
        self.do(path=path, body=json.dumps({} if body is None else body), **more)
        return int((await asyncio.wait_for(self._answers.get(), BOUND))["status"])

    async def respond(self, given: Given, body: Any = None) -> int:
        """Post the response of an invocation."""
        return await self.post(f"invocation/{given.id}/response", body)

    async def fail(self, given: Given, kind: str, message: str = "") -> int:
        """Post the error of an invocation."""
        return await self.post(f"invocation/{given.id}/error", {"errorType": kind, "errorMessage": message})


class Strings:
    """Where puppets connect."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._came: asyncio.Queue[Puppet] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._puppets: list[Puppet] = []
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._stopped = False

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._connected, self.path, limit=64 * 1024 * 1024)

    def cut(self) -> None:
        """End every worker at once."""
        for puppet in self._puppets:
            if not puppet.gone.is_set():
                puppet.do(exit=0)

    async def stop(self) -> None:
        self._stopped = True
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def puppet(self) -> Puppet:
        """The next worker that was started."""
        return await asyncio.wait_for(self._came.get(), BOUND)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self._stopped:
            # A worker that connected in the last moment: nobody is left to talk to it.
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(Puppet(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, puppet: Puppet) -> None:
        if await puppet.begin():
            self._puppets.append(puppet)
            self._came.put_nowait(puppet)
            await puppet.listen()
