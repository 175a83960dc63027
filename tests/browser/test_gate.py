"""The control token: where it is asked for, where it is explained, and what happens when it is wrong."""

import pytest

from .chromium import Browser
from .conftest import Control
from .fake_control import TOKEN, Fake
from .tab import Page

pytestmark = pytest.mark.browser

GATE = "!document.getElementById('gate').hidden"
APP = "!document.getElementById('app').hidden"


async def test_without_a_token_a_form_says_where_it_is(page: Page, fake_control: Control) -> None:
    await page.goto(fake_control.base_url)
    await page.until(GATE)
    text = await page.text("#gate")
    assert "control.token" in text
    assert await page.eval("document.activeElement.id") == "token"
    assert await page.eval("document.querySelector('label[for=token]').control.type") == "password"
    assert not [url for url in page.requested if "/v1/" in url], "nothing is asked before there is a token"


async def test_the_form_fits_a_phone(browser: Browser, fake_control: Control) -> None:
    async with browser.open(360, 740) as page:
        await page.goto(fake_control.base_url)
        await page.until(GATE)
        assert await page.eval("document.querySelector('#gate form').getBoundingClientRect().right") <= 360 - 12
        assert await page.eval("document.documentElement.scrollWidth") <= 360


async def test_the_form_takes_a_token_by_keyboard_alone(page: Page, fake_control: Control) -> None:
    await page.goto(fake_control.base_url)
    await page.until(GATE)
    await page.call("Input.insertText", text=TOKEN)
    await page.press("Enter", 13, "\r")
    await page.until("document.activeElement.id === 'function'")
    assert await page.eval("location.hash") == ""


async def test_a_wrong_token_is_said_to_be_wrong_and_forgotten(browser: Browser, fake_control: Control) -> None:
    async with browser.open() as page:
        await page.goto(f"{fake_control.base_url}/#token=not-this-one")
        await page.until(GATE)
        assert "not accepted" in await page.text("#gate-problem")
        assert await page.eval("sessionStorage.length") == 0
        assert await page.eval("location.hash") == ""
        assert [text for text in page.complaints if "401" not in text] == []
        await page.fill("#token", TOKEN)
        await page.click("#gate button")
        await page.until(APP)


async def test_a_new_address_pasted_into_an_open_page_lets_it_in(page: Page, fake_control: Control) -> None:
    await page.goto(fake_control.base_url)
    await page.until(GATE)
    await page.eval(f"void (location.hash = 'token={TOKEN}')")
    await page.until(APP)
    assert await page.eval("location.hash") == ""


async def test_a_token_that_stops_working_leads_back_to_the_form(
    browser: Browser, fake: Fake, fake_control: Control
) -> None:
    fake.refusal = (401, {"code": "unauthorized", "message": "The control token is wrong."})
    async with browser.open() as page:
        await page.goto(fake_control.url)
        await page.until("document.querySelector('#function option')")
        await page.click("#run")
        await page.until(GATE)
        assert "not accepted" in await page.text("#gate-problem")
