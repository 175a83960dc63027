"""Pages under `dialback dev` in Chromium: they load themselves anew, and show what is broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.system.dev.session import Session

from .tab import Page

pytestmark = [pytest.mark.browser, pytest.mark.system]

APP = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    fields = [(b"content-type", b"text/html")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"<!doctype html><html><he", "more_body": True})
    await asyncio.sleep(0.05)
    if scope["path"] == "/fail":
        raise ValueError("too late")
    await send({"type": "http.response.body", "body": b"ad><title>VERSION</title></head><body><h1>VERSION</h1>"})
"""
FAILS = "async def handler(event, context):\n    return {}['nothing']\n"


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session({"app.py": APP.replace("VERSION", "one")})
    yield made
    made.close()


OVERLAY = "document.querySelector('dialback-problem')?.shadowRoot.textContent"


async def test_a_page_loads_itself_anew_after_a_save_and_shows_a_broken_one(page: Page, session: Session) -> None:
    await page.goto(session.url + "/")
    assert await page.eval("document.title") == "one"
    assert await page.eval("document.compatMode") == "CSS1Compat"
    session.write({"app.py": APP.replace("VERSION", "two")})
    await page.until("document.title === 'two'")
    session.write({"app.py": "x = (1 +* 2)\n"})
    await page.until(OVERLAY)
    shown = await page.eval(OVERLAY)
    assert "SyntaxError" in shown
    assert "app.py:1" in shown
    assert "x = (1 +* 2)" in shown
    assert await page.eval("document.title") == "two", "the page itself stays"
    await page.press("Escape", 27)
    await page.until(f"!({OVERLAY})")
    session.write({"app.py": APP.replace("VERSION", "three")})
    await page.until("document.title === 'three'")


async def test_an_error_page_goes_when_the_mistake_is_mended(page: Page, session: Session) -> None:
    session.write({"app.py": FAILS})
    session.until("saved, running")
    await page.goto(session.url + "/")
    # The browser's own note of the status is no complaint of the page.
    page.complaints.clear()
    assert "KeyError" in await page.text("h1")
    assert "app.py:2 in handler" in await page.eval("document.body.textContent")
    session.write({"app.py": APP.replace("VERSION", "mended")})
    await page.until("document.title === 'mended'")
