"""Chromium, and the control port that the page talks to: a fake one, or a platform that runs already.

Set DIALBACK_PAGE_URL (the address that `dialback up` prints, `http://127.0.0.1:8081/#token=...`) and
DIALBACK_PAGE_FUNCTION (a deployed function that streams for about a second) to run the tests that take `control`
against a real platform.
"""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest

from . import chromium
from .chromium import Browser
from .fake_control import TOKEN, Fake, serve
from .stories import ID, NEW, OLD, deployment, recorded, replayed, streams
from .tab import Page

WORDS = [f"word{index} " for index in range(12)]


@pytest.fixture(scope="session")
def devtools() -> Iterator[str]:
    """One Chromium for all tests; each page gets a context of its own."""
    path = chromium.find()
    if path is None:
        message = "Chromium is missing: the page is NOT tested (on Debian: apt-get install chromium, or set CHROMIUM)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with chromium.start(path) as address:
        yield address


@pytest.fixture
async def browser(devtools: str) -> AsyncIterator[Browser]:
    async with chromium.connect(devtools) as connection:
        yield connection


@dataclass(frozen=True)
class Control:
    """Where the page is, what opens it, and a function that streams."""

    base_url: str
    token: str
    function: str

    @property
    def url(self) -> str:
        return f"{self.base_url}/#token={self.token}"


@pytest.fixture
def fake() -> Fake:
    """What the fake control port will say; `fake_control` serves it."""
    control = Fake()
    control.stories["words"] = streams(WORDS, every=0.04)
    return control


@pytest.fixture
async def fake_control(fake: Fake, browser: Browser) -> AsyncIterator[Control]:
    async with serve(fake) as url:
        yield Control(url, TOKEN, "words")
        await browser.leave()


@pytest.fixture
async def control(browser: Browser) -> AsyncIterator[Control]:
    """The real platform when one is named, the fake one otherwise."""
    given = os.environ.get("DIALBACK_PAGE_URL")
    if given:
        parts = urlsplit(given)
        token = parse_qs(parts.fragment)["token"][0]
        yield Control(f"{parts.scheme}://{parts.netloc}", token, os.environ["DIALBACK_PAGE_FUNCTION"])
        return
    script = Fake()
    script.stories["words"] = streams(WORDS, every=0.04)
    script.deployments = [deployment(NEW, True), deployment(OLD, False)]
    before = script.traces[ID] = recorded(ID, NEW, 300, 900)
    script.replay = replayed(before, recorded("01re", OLD, 30, 1000))
    async with serve(script) as url:
        yield Control(url, TOKEN, "words")
        await browser.leave()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty desktop page that must not complain: no exception, no error in the console, no refusal by the CSP."""
    async with browser.open() as tab:
        yield tab
        assert tab.complaints == []


async def enter(page: Page, control: Control) -> None:
    """Open the page with its token and pick the function."""
    await page.goto(control.url)
    await page.until(
        f"[...document.querySelectorAll('#function option')].some((o) => o.value === '{control.function}')"
    )
    await page.choose("#function", control.function)


async def race(page: Page) -> None:
    """Press Run and wait until both lanes are over and the page says who was first."""
    await page.eval("document.querySelector('#said').textContent = ''")
    await page.click("#run")
    said = "document.querySelector('#said').textContent"
    await page.until(f"{said} && !{said}.startsWith('Running') && !document.querySelector('#pick.running')", seconds=30)
