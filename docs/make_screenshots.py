"""Takes the pictures of the page in docs/images: starts a platform with examples and drives Chromium through it.

    make screenshots

Needs Chromium (or $CHROMIUM), as the browser tests do. The pictures show a real platform at work, so their times and
identifiers differ from run to run; look at them before they are committed.
"""

import asyncio
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import chromium  # noqa: E402
from browser.chromium import Browser  # noqa: E402
from browser.tab import Page  # noqa: E402

IMAGES = ROOT / "docs" / "images"
EXAMPLES = ("chat", "clock", "hello", "json-lines", "lambda_stream")
READY_SECONDS = 60.0
SLOWER = ("SECONDS_PER_TOKEN = 0.03", "SECONDS_PER_TOKEN = 0.05")
"""How the deployment that a replay is compared with differs from the example: in its pace."""


class Platform:
    """A running platform and what is asked of it."""

    def __init__(self, ready: dict[str, Any], token: str) -> None:
        self.public = str(ready["public_url"])
        self.page = f"{ready['control_url']}/#token={token}"
        self.control = httpx.AsyncClient(
            base_url=str(ready["control_url"]), headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        self.http = httpx.AsyncClient(base_url=self.public, timeout=60)

    async def ask(self, path: str, method: str = "GET", **options: Any) -> str:
        """One request to the public port; its invocation's id."""
        answer = await self.http.request(method, path, **options)
        return answer.headers["x-dialback-id"]


@contextmanager
def running(data: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """`dialback up` with the examples; its ready line and the control token."""
    folders = [str(ROOT / "examples" / name) for name in EXAMPLES]
    command = [str(Path(sys.executable).with_name("dialback")), "up", *folders, "--port", "0", "--control-port", "0"]
    process = subprocess.Popen([*command, "--data-dir", str(data), "--json"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], READY_SECONDS)
        line = process.stdout.readline() if readable else ""
        if not line:
            raise SystemExit("the platform did not start")
        yield json.loads(line), (data / "control.token").read_text().strip()
    finally:
        process.terminate()
        process.wait(30)


@asynccontextmanager
async def opened(
    browser: Browser, platform: Platform, width: int, height: int, *, dark: bool = False
) -> AsyncIterator[Page]:
    """The page past its gate."""
    async with browser.open(width, height) as page:
        await page.prefer(dark=dark, calm=True)
        await page.goto(platform.page)
        await page.until("document.querySelector('#function option') && !document.querySelector('#app').hidden")
        yield page


async def see(page: Page, route: str, ready: str) -> None:
    """Go to a view and wait for what it is to show."""
    await page.eval(f"void (location.hash = {json.dumps(route)})")
    await page.until(ready)


async def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    path = chromium.find()
    if path is None:
        raise SystemExit("Chromium is missing: apt-get install chromium, or set CHROMIUM")
    with (
        tempfile.TemporaryDirectory(prefix="db-") as folder,
        running(Path(folder, "data")) as (ready, token),
        chromium.start(path) as address,
    ):
        async with chromium.connect(address) as browser:
            await take_all(browser, Platform(ready, token), Path(folder))
            await browser.leave()


async def take_all(browser: Browser, platform: Platform, folder: Path) -> None:
    question = {"stream": True, "messages": [{"role": "user", "content": "How do functions stream?"}]}
    for _ in range(3):
        await platform.ask("/@hello/")
        await platform.ask("/@lambda-stream/")
    await platform.ask("/@hello/nothing/here")
    await platform.ask("/@no-such-function/")
    await platform.ask("/@chat/")
    recorded = await platform.ask(
        "/@chat/v1/chat/completions", "POST", json=question, headers={"authorization": "Bearer sk-1"}
    )
    await race(browser, platform)
    watchers = [asyncio.create_task(watch(platform)) for _ in range(3)]
    await live(browser, platform)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    await redeploy(platform, folder)
    await replay(browser, platform, recorded)


async def watch(platform: Platform) -> None:
    """A client that keeps a stream open."""
    async with platform.http.stream("GET", "/@clock/events?every=0.4") as answer:
        async for _ in answer.aiter_raw():
            pass


async def race(browser: Browser, platform: Platform) -> None:
    async with opened(browser, platform, 1280, 960) as page:
        await page.choose("#function", "chat")
        await page.click("#run")
        await page.until("!document.querySelector('#pick.running')", 30)
        await page.until("document.querySelectorAll('#waterfalls article').length === 2")
        await page.eval("scrollTo(0, 0)")
        await page.picture(IMAGES / "race.png")
    async with opened(browser, platform, 1280, 960, dark=True) as page:
        await page.choose("#function", "chat")
        await page.click("#run")
        await page.until("+document.querySelector('#lane-callback .chunks').textContent > 12")
        await page.eval("scrollTo(0, 0)")
        await page.picture(IMAGES / "race-dark.png")
        await page.until("!document.querySelector('#pick.running')", 30)


async def live(browser: Browser, platform: Platform) -> None:
    three = "document.querySelectorAll('#in-flight tr:not(.empty)').length >= 3"
    async with opened(browser, platform, 1280, 860) as page:
        await see(page, "#/invocations", three)
        await page.picture(IMAGES / "invocations.png")
        await see(page, "#/functions/chat", "document.querySelector('#function-deployments code')")
        await page.picture(IMAGES / "function.png")
    async with opened(browser, platform, 360, 780, dark=True) as page:
        await see(page, "#/invocations", three)
        await page.picture(IMAGES / "phone-dark.png")


async def redeploy(platform: Platform, folder: Path) -> None:
    """The example again, at another pace."""
    changed = folder / "chat"
    changed.mkdir()
    for file in (ROOT / "examples" / "chat").iterdir():
        if file.suffix in (".py", ".toml", ".html"):
            changed.joinpath(file.name).write_text(file.read_text().replace(*SLOWER))
    command = [str(Path(sys.executable).with_name("dialback")), "deploy", str(changed)]
    control, _, token = platform.page.partition("/#token=")
    environ = os.environ | {"DIALBACK_CONTROL_URL": control, "DIALBACK_CONTROL_TOKEN": token}
    done = await asyncio.to_thread(subprocess.run, command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    await platform.ask("/@chat/")


async def replay(browser: Browser, platform: Platform, recorded: str) -> None:
    async with opened(browser, platform, 1280, 1180) as page:
        await see(page, f"#/invocations/{recorded}", "!document.querySelector('#replay').hidden")
        await page.picture(IMAGES / "invocation.png")
        await page.click("#replay-run")
        await page.until("document.querySelector('#replay-result .pair')", 30)
        await page.eval("document.querySelector('#replay-title').scrollIntoView()")
        await page.picture(IMAGES / "replay.png")


if __name__ == "__main__":
    asyncio.run(main())
