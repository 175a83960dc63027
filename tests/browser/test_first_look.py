"""What the page suggests to somebody who opens it for the first time, and what it says while nothing comes."""

import json

import pytest

from .conftest import WORDS, Control
from .fake_control import Fake
from .stories import streams
from .tab import Page

pytestmark = pytest.mark.browser


async def opened(page: Page, control: Control) -> None:
    await page.goto(control.url)
    await page.until("document.querySelector('#function option')")


async def asked(page: Page) -> list[str]:
    """Function, method, path and body as the form has them."""
    value: list[str] = await page.eval(
        "['function', 'method', 'path', 'body'].map((name) => document.querySelector(`#${name}`).value)"
    )
    return value


async def test_the_function_that_shows_the_race_is_chosen_and_the_last_choice_after_that(
    page: Page, fake: Fake, fake_control: Control
) -> None:
    for name in ("hello", "lambda-stream", "upload"):
        fake.stories[name] = streams(WORDS, every=0.01)
    await opened(page, fake_control)
    assert await asked(page) == ["lambda-stream", "GET", "/", ""]
    await page.choose("#function", "hello")
    await page.eval("sessionStorage.removeItem('dialback.pick')")
    await page.call("Page.reload")
    await page.until("document.querySelector('#function')?.value === 'hello'")


async def test_an_example_suggests_what_it_answers_and_what_was_typed_stays(
    page: Page, fake: Fake, fake_control: Control
) -> None:
    for name in ("chat", "clock", "mine"):
        fake.stories[name] = streams(WORDS, every=0.01)
    await opened(page, fake_control)
    function, method, path, body = await asked(page)
    assert (function, method, path) == ("chat", "POST", "/v1/chat/completions")
    assert json.loads(body)["stream"] is True
    await page.choose("#function", "clock")
    assert (await asked(page))[1:] == ["GET", "/events?every=0.5", ""]
    await page.choose("#function", "mine")
    assert (await asked(page))[1:] == ["GET", "/", ""]
    await page.eval("document.querySelector('#path').value = '/typed'")
    await page.choose("#function", "chat")
    assert (await asked(page))[1:] == ["GET", "/typed", ""]


async def test_a_lane_that_waits_for_long_says_why(page: Page, fake: Fake, fake_control: Control) -> None:
    fake.stories["words"] = streams(WORDS, every=0.01, before=600)
    await opened(page, fake_control)
    await page.choose("#function", "words")
    await page.click("#run")
    await page.until("!document.querySelector('#lane-buffered .why').hidden")
    assert "nothing arrives before the function has ended" in await page.text("#lane-buffered .why")
    assert "has not sent its first byte" in await page.text("#lane-callback .why")
    await page.click("#run")
    await page.until("document.querySelector('#lane-buffered .why').hidden")
