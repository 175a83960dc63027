"""One page of Chromium: load, wait, look, type, click, take a picture. Every wait ends on an event or at its bound."""

import base64
import json
from pathlib import Path
from typing import Any, Protocol

WAIT_SECONDS = 30.0
CUT = "net::ERR_NETWORK_CHANGED"
"""Chromium cuts what it loads, even from the loopback, when a network comes or goes; containers bring theirs."""


class BrowserError(AssertionError):
    """The page threw, a wait ran out, or Chromium did not do what it was told."""


class Calls(Protocol):
    """The DevTools connection that a page talks through."""

    async def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]: ...


class Page:
    """A tab. `complaints` collects console errors, uncaught exceptions and refusals by the content policy."""

    def __init__(self, browser: Calls, session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._cut = False

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **params)

    def note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["exception"].get("description", "exception"))
        elif method == "Log.entryAdded" and CUT in params["entry"]["text"]:
            self._cut = True
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
        for _ in range(3):
            await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")
            if not self._cut:
                return
            self._cut = False
            await self.call("Page.reload")

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
            f"((node) => {{ node.scrollIntoView({{block: 'center', behavior: 'instant'}});"
            " const box = node.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })"
            f"(document.querySelector({json.dumps(selector)}))"
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
        await self.eval(
            f"{node}.value = {json.dumps(value)}, {node}.dispatchEvent(new Event('change', {{bubbles: true}}))"
        )

    async def press(self, key: str, code: int = 0, text: str = "") -> None:
        """One key, down and up; `text` is what it types (Enter types a carriage return)."""
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **typed)

    async def picture(self, path: Path, whole: bool = False) -> None:
        """Save a PNG of the viewport, or of the whole document."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))
