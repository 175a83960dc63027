"""Chromium, driven over its DevTools protocol: just enough to load a page, look, type, click and take a picture.

`start` launches the browser; `Browser.open` gives a fresh, isolated page. Every wait is on an event with a bound.
"""

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --mute-audio "
    "--no-default-browser-check --disable-extensions --force-color-profile=srgb --remote-debugging-port=0"
).split()
START_SECONDS = 30.0
WAIT_SECONDS = 10.0


class BrowserError(AssertionError):
    """The page threw, a wait ran out, or Chromium did not do what it was told."""


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
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True)
        try:
            yield _address(process, Path(profile, "DevToolsActivePort"), log)
        finally:
            process.terminate()
            try:
                process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()


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
            return await asyncio.wait_for(answer, WAIT_SECONDS + 5)
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
    async def open(self, width: int = 1280, height: int = 900, dark: bool = False) -> AsyncIterator["Page"]:
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


class Page:
    """A tab. `complaints` collects console errors, uncaught exceptions and refusals by the content policy."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints: list[str] = []
        self.requested: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **params)

    def note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["exception"].get("description", "exception"))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}".strip())
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.complaints.append(str(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])

    async def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)

    async def prefer(self, *, dark: bool = False, calm: bool = False) -> None:
        """What the person's system asks of pages: dark colours, little motion."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme, motion])

    async def before_load(self, script: str) -> None:
        """Run `script` in every document before its own scripts."""
        await self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def goto(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def eval(self, expression: str) -> Any:
        """The JSON value of `expression`; a promise is awaited.

        Raises:
            BrowserError: It threw.
        """
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    async def until(self, condition: str, seconds: float = WAIT_SECONDS) -> Any:
        """Wait until `condition` is truthy, looked at on each animation frame; its value.

        Raises:
            BrowserError: It was not within `seconds`.
        """
        script = f"""new Promise((resolve) => {{
            const late = performance.now() + {seconds * 1000};
            const look = () => {{
                let value;
                try {{ value = ({condition}); }} catch (error) {{ value = undefined; }}
                if (value || performance.now() > late) resolve(value || null);
                else requestAnimationFrame(look);
            }};
            look();
        }})"""
        for _ in range(3):
            try:
                value = await self.eval(script)
            except BrowserError as error:
                if "navigat" in str(error) or "context" in str(error):  # the document changed under the wait
                    continue
                raise
            if value is None:
                text = await self.eval("document.body.innerText.slice(0, 1500)")
                raise BrowserError(f"not within {seconds} s: {condition}\n{text}\n{self.complaints}")
            return value
        raise BrowserError(f"the page kept navigating away while waiting for: {condition}")

    async def text(self, selector: str) -> str:
        return str(await self.eval(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def click(self, selector: str) -> None:
        """A real mouse click in the middle of the element."""
        where = await self.eval(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)}); node.scrollIntoView({{block: 'center'}});"
            " const box = node.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            event = {"type": kind, "x": where[0], "y": where[1], "button": "left", "clickCount": 1}
            await self.call("Input.dispatchMouseEvent", **event)

    async def fill(self, selector: str, text: str) -> None:
        """Focus, replace what is there, type."""
        node = f"document.querySelector({json.dumps(selector)})"
        await self.eval(f"{node}.focus(), {node}.select()")
        await self.call("Input.insertText", text=text)

    async def choose(self, selector: str, value: str) -> None:
        node = f"document.querySelector({json.dumps(selector)})"
        await self.eval(f"{node}.value = {json.dumps(value)}, {node}.dispatchEvent(new Event('change', {{bubbles: true}}))")

    async def press(self, key: str, code: int = 0, text: str = "") -> None:
        """One key, down and up; `text` is what it types (Enter types a carriage return)."""
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **typed)

    async def picture(self, path: Path, whole: bool = False) -> None:
        """Save a PNG of the viewport, or of the whole document."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


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
