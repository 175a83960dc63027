"""Chromium, driven over its DevTools protocol: just enough to load a page, look, type, click and take a picture.

`start` launches the browser; `Browser.open` gives a fresh, isolated page. Every wait is on an event with a bound.
"""

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from .tab import BrowserError, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--no-default-browser-check",
    "--no-first-run",
    "--remote-debugging-port=0",
)
START_SECONDS = 30.0
ANSWER_SECONDS = 30.0


def find() -> str | None:
    """The browser's path: $CHROMIUM, or the first known name on the PATH; None when there is none."""
    named = os.environ.get("CHROMIUM")
    return next(filter(None, map(shutil.which, (named,) if named else NAMES)), None)


@contextmanager
def start(path: str) -> Iterator[str]:
    """Run a headless Chromium with a new profile; yields the address of its DevTools socket."""
    with tempfile.TemporaryDirectory(prefix="dialback-chromium-", ignore_cleanup_errors=True) as profile:
        log = Path(profile, "stderr")
        with log.open("wb") as stderr:
            command = [path, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
            own = os.environ | {"TMPDIR": profile}  # its sockets and locks go when the profile goes
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=stderr, env=own, start_new_session=True
            )
        try:
            yield _address(process, Path(profile, "DevToolsActivePort"), log)
        finally:
            _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the browser to end, then end what is left of its process group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(30)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _address(process: "subprocess.Popen[bytes]", port_file: Path, log: Path) -> str:
    """Chromium writes its port and path into its profile once it listens; a timer bounds the wait."""
    pause = threading.Event()
    for _ in range(int(START_SECONDS / 0.02)):
        if process.poll() is not None:
            raise BrowserError(f"Chromium ended with {process.returncode}: {log.read_text(errors='replace')[-2000:]}")
        lines = port_file.read_text().split() if port_file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        pause.wait(0.02)
    raise BrowserError(f"Chromium did not listen within {START_SECONDS} s: {log.read_text(errors='replace')[-2000:]}")


class Browser:
    """One DevTools connection. Made by `connect`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """One DevTools command and its result.

        Raises:
            BrowserError: Chromium refused the command, or did not answer in time.
        """
        number = next(self._ids)
        self._answers[number] = answer = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        await self._socket.send_str(json.dumps(message))
        try:
            return await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError:
            raise BrowserError(f"Chromium did not answer {method}") from None

    async def listen(self) -> None:
        """Hand every message to the call or page that it is for, until the connection closes."""
        async for raw in self._socket:
            message = json.loads(raw.data)
            if answer := self._answers.pop(message.get("id", 0), None):
                if answer.done():
                    continue
                if "error" in message:
                    answer.set_exception(BrowserError(message["error"]["message"]))
                else:
                    answer.set_result(message["result"])
            elif page := self._pages.get(message.get("sessionId", "")):
                page.note(message["method"], message["params"])

    @asynccontextmanager
    async def open(self, width: int = 1280, height: int = 900, dark: bool = False) -> AsyncIterator[Page]:
        """A page in a context of its own (no storage or cookies shared), `width` by `height` CSS pixels."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = (await self.call("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.call(f"{domain}.enable")
        await page.resize(width, height)
        await page.prefer(dark=dark)
        try:
            yield page
        finally:
            await self.call("Target.disposeBrowserContext", browserContextId=context)
            del self._pages[session]

    async def leave(self) -> None:
        """Take every open page away from where it is, so that a server may stop unmissed."""
        for page in self._pages.values():
            await page.goto("about:blank#left")


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Browser]:
    """A DevTools connection to a started Chromium."""
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(address, max_msg_size=256 * 1024 * 1024) as socket,
    ):
        browser = Browser(socket)
        listening = asyncio.create_task(browser.listen())
        try:
            yield browser
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
