"""The Docker Engine, as far as Dialback needs it, without its blocking calls and without its exceptions.

Every call of the `docker` package blocks, on a socket and sometimes for seconds. They run in a pool of threads of this
object's own, so an engine that hangs costs those threads and nothing else. What the package raises is translated here,
once, into three errors that say what is wrong and what to do.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import tarfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import docker
import docker.errors
import requests.exceptions

from dialback_invoker.launchers.base import LaunchFailed

T = TypeVar("T")
THREADS = 8
CALL_SECONDS = 20.0
"""The longest answer of an engine that is alive."""
BUILD_SECONDS = 600.0
"""The longest silence of a build."""
DEFAULT_HOST = "unix:///var/run/docker.sock"


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_NOISE = re.compile(r"Step \d+/\d+ : | ---> |Removing intermediate container |Successfully (built|tagged) ")
"""What the engine's builder says of itself."""


class EngineFailed(LaunchFailed):
    """The engine refused: a full disk, an unknown runtime, a mount that is not there, ..."""

    def __init__(self, message: str, *, code: str = "engine_failed") -> None:
        super().__init__(message, code=code)


class EngineUnavailable(EngineFailed):
    """Nobody answers at the engine's address, or nobody who may be asked."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="engine_unavailable")


class Missing(EngineFailed):
    """The engine knows no such container, image or network."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="engine_missing")


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container as the engine sees it."""

    running: bool
    paused: bool
    exit_code: int
    oom_killed: bool
    error: str
    """What the engine itself said when it could not be run."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an engine says of a container that looks at itself."""

    mounts: list[tuple[str, str]]
    """(place inside, place on the engine's machine)"""
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What matters about an engine."""

    runtimes: frozenset[str]
    seccomp: bool
    rootless: bool


class Engine:
    """One engine. ``host`` is its address; None: DOCKER_HOST, else the usual socket."""

    def __init__(self, host: str | None = None) -> None:
        self.host = host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        self._threads = ThreadPoolExecutor(THREADS, "docker")
        self._client: Any = None
        self._making = threading.Lock()

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """``work(*args)`` in a thread. Raises EngineFailed and its kinds; a cancelled call goes on to its end."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._translated, work, *args)

    def submit(self, work: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """The same as a future, for who must see a call through."""
        return asyncio.get_running_loop().run_in_executor(self._threads, self._translated, work, *args)

    async def close(self) -> None:
        """Waits for the calls that run, and closes every connection."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._client is not None:
            self._client.close()
            self._client = None

    # containers

    async def create(self, name: str, options: Mapping[str, Any]) -> str:
        """A container that does not run yet; its id. ``options`` as `docker_container.options` makes them."""

        def work() -> str:
            client = self._connected()
            host_config = client.create_host_config(**options["host"])
            made = client.create_container(
                name=name, host_config=host_config, use_config_proxy=False, **options["container"]
            )
            return str(made["Id"])

        return await self.run(work)

    async def start(self, container: str) -> None:
        """Runs it."""
        await self.run(lambda: self._connected().start(container))

    async def signal(self, container: str, number: int) -> None:
        """Sends a signal to its first process; nothing happens when it does not run."""

        def work() -> None:
            try:
                self._connected().kill(container, signal=number)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):
                    raise

        await self.run(work)

    async def pause(self, container: str) -> None:
        """Freezes all of its processes."""
        await self.run(lambda: self._connected().pause(container))

    async def resume(self, container: str) -> None:
        """Thaws them; nothing happens when they are not frozen."""

        def work() -> None:
            try:
                self._connected().unpause(container)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409, 500):
                    raise

        await self.run(work)

    async def remove(self, container: str) -> None:
        """Kills and removes it, with what the engine keeps of it. Nothing happens when it is gone."""

        def work() -> None:
            try:
                self._connected().remove_container(container, force=True, v=True)
            except docker.errors.APIError as error:
                # 409: somebody else is removing it at this moment
                if error.status_code not in (404, 409):
                    raise

        await self.run(work)

    async def state(self, container: str) -> ContainerState:
        """How it is. Raises Missing."""

        def work() -> ContainerState:
            state = self._connected().inspect_container(container)["State"]
            return ContainerState(
                running=bool(state.get("Running")),
                paused=bool(state.get("Paused")),
                exit_code=int(state.get("ExitCode", 0)),
                oom_killed=bool(state.get("OOMKilled")),
                error=str(state.get("Error", "")),
            )

        return await self.run(work)

    async def last_words(self, container: str, lines: int = 20) -> str:
        """The end of what it wrote before anybody else took its output."""

        def work() -> str:
            said = self._connected().logs(container, stdout=True, stderr=True, tail=lines)
            return bytes(said).decode("utf-8", "replace")

        return await self.run(work)

    async def memory(self, container: str) -> int:
        """Resident bytes: what it uses, less what the kernel can drop at once."""

        def work() -> int:
            stats = self._connected().stats(container, stream=False, one_shot=True)["memory_stats"]
            details = stats.get("stats", {})
            dropped = details.get("total_inactive_file", details.get("inactive_file", 0))
            return max(0, int(stats.get("usage", 0)) - int(dropped))

        return await self.run(work)

    async def surroundings(self, container: str) -> Surroundings:
        """Of a container that we are ourselves. Raises Missing."""

        def work() -> Surroundings:
            found = self._connected().inspect_container(container)
            mounts = [(str(m["Destination"]), str(m["Source"])) for m in found["Mounts"] if m.get("Source")]
            labels = {str(k): str(v) for k, v in (found["Config"].get("Labels") or {}).items()}
            return Surroundings(mounts, labels)

        return await self.run(work)

    # what bears a label

    async def containers(self, label: str) -> list[str]:
        """Ids of all containers with that label (``key=value``), whether they run or not."""

        def work() -> list[str]:
            found = self._connected().containers(all=True, filters={"label": label})
            return [str(each["Id"]) for each in found]

        return await self.run(work)

    async def networks(self, label: str) -> list[str]:
        """Ids of all networks with that label."""
        found: list[str] = await self.run(
            lambda: [str(each["Id"]) for each in self._connected().networks(filters={"label": label})]
        )
        return found

    async def create_network(self, name: str, labels: Mapping[str, str]) -> str:
        """A bridge on which containers do not see each other; its id."""

        def work() -> str:
            made = self._connected().create_network(
                name,
                driver="bridge",
                options={"com.docker.network.bridge.enable_icc": "false"},
                labels=dict(labels),
            )
            return str(made["Id"])

        return await self.run(work)

    async def remove_network(self, network: str) -> None:
        """Nothing happens when it is gone."""

        def work() -> None:
            try:
                self._connected().remove_network(network)
            except docker.errors.NotFound:
                pass

        await self.run(work)

    # images

    async def image_labels(self, image: str) -> dict[str, str]:
        """The labels of an image. Raises Missing."""

        def work() -> dict[str, str]:
            found = self._connected().inspect_image(image)
            return {str(k): str(v) for k, v in (found["Config"].get("Labels") or {}).items()}

        return await self.run(work)

    async def image_id(self, image: str) -> str:
        """What names its content. Raises Missing."""
        found: str = await self.run(lambda: str(self._connected().inspect_image(image)["Id"]))
        return found

    async def file_of(self, image: str, path: str, labels: Mapping[str, str]) -> bytes:
        """The content of a file in an image, empty when there is none; a container that never runs is made for it.
        Raises Missing when there is no such image.
        """

        def work() -> bytes:
            client = self._connected()
            made = client.create_container(image, command=["true"], labels=dict(labels), network_disabled=True)["Id"]
            try:
                pieces, _ = client.get_archive(made, path)
                with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
                    file = tar.extractfile(tar.getmembers()[0])
                    return file.read() if file is not None else b""
            except docker.errors.NotFound:
                return b""
            finally:
                client.remove_container(made, force=True, v=True)

        return await self.run(work)

    async def images(self, label: str) -> list[str]:
        """Names of all images with that label."""
        found: list[str] = await self.run(
            lambda: [
                str(tag)
                for each in self._connected().images(filters={"label": label})
                for tag in each.get("RepoTags") or ()
            ]
        )
        return found

    async def remove_image(self, image: str) -> None:
        """Nothing happens when it is gone or in use."""

        def work() -> None:
            try:
                self._connected().remove_image(image)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):
                    raise

        await self.run(work)

    async def remove_untagged(self, label: str) -> None:
        """Images with that label (``key=value``) that have no name and that nothing uses."""
        await self.run(lambda: self._connected().prune_images(filters={"dangling": True, "label": [label]}))

    async def build(
        self,
        context: bytes,
        tag: str,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Builds an image from a tar archive; ``tell`` gets each line that the build says, on the loop's thread.
        Raises EngineFailed with the end of what was said.
        """
        loop = asyncio.get_running_loop()

        def on_line(line: str) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
                loop.call_soon_threadsafe(tell, line)

        await self.run(self._build, context, tag, arguments, labels, on_line)

    def _build(
        self,
        context: bytes,
        tag: str,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> None:
        said: list[str] = []
        rest = error = ""
        # The client's own time limit is on silence, and installing may be silent for long.
        client = self._new_client(BUILD_SECONDS)
        try:
            events: Sequence[dict[str, Any]] = client.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                tag=tag,
                buildargs=dict(arguments),
                labels=dict(labels),
                rm=True,
                forcerm=True,
                decode=True,
            )
            for event in events:
                # A line may come in pieces, each coloured by the engine.
                *whole, rest = _COLOUR.sub("", rest + str(event.get("stream") or "")).split("\n")
                lines = [line.rstrip() for line in whole if line.strip() and not _NOISE.match(line)]
                said += lines
                for line in lines:
                    on_line(line)
                # What follows is read all the same: a connection with something unread in it stays open.
                error = error or str(event.get("error") or "").strip()
        finally:
            client.close()
        if error:
            tail = "\n".join(said[-15:])
            raise EngineFailed(f"the image {tag} cannot be built: {error}\n{tail}", code="image_failed")

    # the engine itself

    async def facts(self) -> EngineFacts:
        """What it is able to do."""

        def work() -> EngineFacts:
            info = self._connected().info()
            options = info.get("SecurityOptions") or ()
            return EngineFacts(
                runtimes=frozenset(info.get("Runtimes") or ()),
                seccomp=any("name=seccomp" in str(option) for option in options),
                rootless=any("name=rootless" in str(option) for option in options),
            )

        return await self.run(work)

    def _connected(self) -> Any:
        """For a thread: the client, made when it is first needed, for making it asks the engine already."""
        with self._making:  # else two threads make one each, and one of them is never closed
            if self._client is None:
                self._client = self._new_client(CALL_SECONDS)
            return self._client

    def _new_client(self, seconds: float) -> Any:
        return docker.APIClient(base_url=self.host, version="auto", timeout=seconds, max_pool_size=THREADS)

    def _translated(self, work: Callable[..., T], *args: Any) -> T:
        failure: EngineFailed
        try:
            return work(*args)
        except docker.errors.NotFound as error:
            failure = Missing(_said(error))
        except docker.errors.APIError as error:
            failure = EngineFailed(f"the Docker Engine says: {_said(error)}")
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            failure = EngineUnavailable(self._why(error))
        # Without the original: its traceback holds the package's socket, and failures are remembered.
        raise failure

    def _why(self, error: BaseException) -> str:
        """What is wrong with the way to the engine, and what to do about it."""
        where = f"the Docker Engine at {self.host}"
        cause: BaseException | None = error
        seen = 0
        while cause is not None and seen < 10:
            text = str(cause)
            if isinstance(cause, PermissionError) or "Permission denied" in text:
                return f"{where} may not be used by this user: {_socket_advice(self.host)}"
            if isinstance(cause, requests.exceptions.Timeout) or "timed out" in text.lower():
                return f"{where} does not answer within {CALL_SECONDS:g} seconds"
            cause, seen = cause.__cause__ or cause.__context__, seen + 1
        return f"{where} cannot be reached: is it running? Start it, or name another one with --docker-host"


def _said(error: docker.errors.APIError) -> str:
    """The engine's own words, in one line."""
    return str(error.explanation or error).strip().replace("\n", " ")[:2000]


def _socket_advice(host: str) -> str:
    """What to do about a socket that may not be used. A group's number is another one inside of a container, and it is
    the one inside that compose has to be told.
    """
    other = "or name another engine with --docker-host"
    try:
        group = os.stat(host.removeprefix("unix://")).st_gid
    except OSError:
        return f"add the user to the socket's group (usually `docker`), {other}"
    return (
        f"its socket belongs to group {group}. Add the user to that group "
        f"(in compose: DIALBACK_DOCKER_GROUP={group} in deploy/.env), {other}"
    )
