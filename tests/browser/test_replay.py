"""A recorded request is made again against an older deployment. Runs against a real platform too (see conftest)."""

import pytest

from .conftest import Control, enter, race
from .tab import Page

pytestmark = pytest.mark.browser


async def test_what_just_ran_is_replayed_against_an_older_deployment(page: Page, control: Control) -> None:
    await enter(page, control)
    await race(page)
    await page.until("document.querySelector('#invocations a')")
    await page.click("#invocations a")
    await page.until("!document.querySelector('#replay').hidden")
    older = await page.eval(
        "[...document.querySelectorAll('#replay-deployment option')].map((one) => one)"
        ".filter((one) => !one.textContent.includes('active'))[0].value"
    )
    await page.choose("#replay-deployment", older)
    await page.click("#replay-run")
    await page.until("document.querySelectorAll('#replay-result .waterfall').length === 2", seconds=30)
    scales = await page.eval("[...document.querySelectorAll('#replay-result .ruler')].map((node) => node.textContent)")
    assert scales[0] == scales[1]
    assert older in await page.eval("document.querySelectorAll('#replay-result .waterfall')[1].textContent")
    measures = await page.eval(
        "[...document.querySelectorAll('.measures tr[data-measure]')].map((row) => row.dataset.measure)"
    )
    assert {"first_byte_ms", "total_ms", "status", "verdict"} <= set(measures)
    assert await page.eval("document.querySelector('[data-body]').dataset.body") == "different"


async def test_what_happens_elsewhere_shows_up_without_a_reload(page: Page, control: Control) -> None:
    await enter(page, control)
    await page.eval("window.same = true; void (location.hash = '#/functions')")
    await page.until("document.querySelector('#functions a')")
    await page.click("#functions a")
    await page.until("document.querySelectorAll('#function-deployments tr:not(.empty)').length >= 2")
    await page.eval("void (location.hash = '#/')")
    await race(page)
    await page.eval("void (location.hash = '#/invocations')")
    await page.until("document.querySelector('#ended .chip.good')")
    assert await page.eval("window.same")
