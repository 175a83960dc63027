"""What functions, clients and logs say is shown as text, however large or hostile it is; failures are said plainly."""

import asyncio
import json
import time
from urllib.parse import quote

import pytest

from .chromium import Browser
from .conftest import Control, enter, race
from .fake_control import Fake
from .stories import Run, invocation, streams
from .tab import Page

pytestmark = pytest.mark.browser

ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script></span>"


async def test_names_chunks_logs_paths_and_errors_are_text_only(page: Page, fake: Fake, fake_control: Control) -> None:
    async def story(run: Run) -> None:
        await run.frame("link", "up", ATTACK)
        await run.send("head", t_ms=1, status=200, headers={"content-type": ATTACK})
        await run.chunk(ATTACK)
        await run.end(ok=False, error=ATTACK)
        trace = invocation(ATTACK, run.request["mode"], verdict=ATTACK, cause=ATTACK, detail=ATTACK, worker=ATTACK)
        await run.send(
            "trace", **trace, marks=[{"name": ATTACK, "t": 0}, {"name": "end", "t": 5}], payload={"x": ATTACK}
        )

    fake.stories = {ATTACK: story}
    fake.invocations = [invocation(ATTACK, path=ATTACK, verdict=ATTACK, cause=ATTACK)]
    fake.workers = [{"id": ATTACK, "function": ATTACK, "state": ATTACK, "pid": ATTACK}]
    line = {"at": time.time(), "function": ATTACK, "worker": ATTACK, "invocation": ATTACK, "stream": "stdout"}
    fake.lines = [line | {"seq": 1, "level": "INFO", "line": ATTACK}]
    fake.deployments = [{"deployment": ATTACK, "kind": ATTACK, "entry": ATTACK, "mode": ATTACK, "bundle": ATTACK}]
    record = {"method": ATTACK, "target": ATTACK, "authority": ATTACK, "headers": [[ATTACK, ATTACK]], "body": ATTACK}
    fake.traces["x"] = invocation(ATTACK, path=ATTACK, marks=[{"name": ATTACK, "t": 0}, {"name": ATTACK, "t": 9}]) | {
        "request": record | {"left_out": [ATTACK], "body_kept": True, "body_bytes": 9, "base64": False}
    }
    await page.goto(fake_control.url)
    await page.until("document.querySelector('#function option')")
    await page.until("document.querySelector('#log li span')")
    await race(page)
    assert await page.eval("document.querySelectorAll('img, main script').length") == 0
    assert await page.eval("document.title") == "Dialback"
    assert await page.eval("document.querySelector('#lane-callback .text').textContent") == ATTACK
    assert await page.eval("document.querySelector('#log span').textContent") == ATTACK
    assert await page.eval("document.querySelector('#lane-callback .error').textContent") == ATTACK
    for route, found in (
        ("#/workers", "#workers code"),
        ("#/functions", "#functions a"),
        (f"#/functions/{quote(ATTACK, safe='')}", "#function-deployments code"),
        ("#/invocations", "#ended td[data-name=Function]"),
        ("#/invocations/x", "#replay label[for^=replay-secret]"),
        ("#/invocations/x", "#invocation-request pre"),
        ("#/logs", "#all-logs span"),
    ):
        await page.eval(f"void (location.hash = {json.dumps(route)})")
        await page.until(f"document.querySelector('{found}')?.textContent.includes('owned')")
    assert await page.eval("document.querySelectorAll('img, main script').length") == 0
    assert "owned" not in (await page.eval("document.title")).replace(ATTACK, "")


async def test_a_large_answer_is_cut_and_never_freezes_the_page(page: Page, fake: Fake, fake_control: Control) -> None:
    block = "0123456789abcdef" * 512

    async def flood(run: Run) -> None:
        await run.send("head", t_ms=run.now, status=200, headers={})
        for _ in range(1500):
            await run.frame("link", "up", "DATA", len(block))
            await run.chunk(block)
        await run.end()

    fake.stories = {"flood": flood}
    await page.before_load(
        "window.longest = 0; new PerformanceObserver((list) => { for (const task of list.getEntries())"
        " longest = Math.max(longest, task.duration); }).observe({ type: 'longtask' });"
    )
    await page.goto(fake_control.url)
    await page.until("document.querySelector('#function option')")
    await race(page)
    assert await page.text("#lane-callback .size") == "12 MiB"
    shown = await page.eval("document.querySelector('#lane-callback .text').textContent.length")
    assert 0 < shown <= 32_000
    assert "not shown" in await page.text("#lane-callback .cut")
    assert await page.eval("document.querySelectorAll('#lane-callback .text span').length") <= 300
    assert await page.eval("longest") < 400, "no task may hold the page for long"


async def test_ten_thousand_chunks_stay_a_picture(page: Page, fake: Fake, fake_control: Control) -> None:
    async def drizzle(run: Run) -> None:
        for index in range(10_000):
            await run.send("chunk", t_ms=index / 10, size=1, text="x")
        await run.end()

    fake.stories = {"drizzle": drizzle}
    await page.goto(fake_control.url)
    await page.until("document.querySelector('#function option')")
    await race(page)
    assert await page.text("#lane-callback .chunks") == "10,000"
    assert await page.eval("document.querySelector('#lane-callback .ticks').getAttribute('d').split('M').length") < 500
    assert await page.eval("document.querySelectorAll('*').length") < 1500


async def test_an_answer_that_breaks_off_is_shown_as_failed(page: Page, fake: Fake, fake_control: Control) -> None:
    async def breaks(run: Run) -> None:
        await run.send("head", t_ms=run.now, status=200, headers={})
        await run.chunk("half of it")
        await run.end(ok=False, error="The answer was cut short: the worker ended.")

    fake.stories = {"breaks": breaks}
    await page.goto(fake_control.url)
    await page.until("document.querySelector('#function option')")
    await race(page)
    assert await page.text("#lane-callback .state") == "failed"
    assert await page.text("#lane-callback .error") == "The answer was cut short: the worker ended."
    assert await page.text("#lane-callback .text") == "half of it"
    assert "Neither" in await page.text("#said")


async def test_a_report_that_ends_early_is_not_taken_for_a_finished_run(
    page: Page, fake: Fake, fake_control: Control
) -> None:
    async def vanishes(run: Run) -> None:
        await run.chunk("first")

    fake.stories = {"vanishes": vanishes}
    await page.goto(fake_control.url)
    await page.until("document.querySelector('#function option')")
    await race(page)
    assert await page.text("#lane-callback .state") == "failed"
    assert "stopped reporting" in await page.text("#lane-callback .error")


async def test_a_refused_run_shows_the_message_and_the_place(
    browser: Browser, fake: Fake, fake_control: Control
) -> None:
    fake.refusal = (422, {"code": "bad", "message": "mode must be callback", "file": "dialback.toml", "line": 7})
    async with browser.open() as page:
        await enter(page, fake_control)
        await race(page)
        assert await page.text("#lane-buffered .error") == "mode must be callback (dialback.toml:7)"


async def test_stop_ends_both_runs(page: Page, fake: Fake, fake_control: Control) -> None:
    fake.stories = {"forever": streams(["tick "] * 10_000, every=0.02)}
    await page.goto(fake_control.url)
    await page.until("document.querySelector('#function option')")
    await page.click("#run")
    await page.until("Number(document.querySelector('#lane-callback .chunks').textContent) > 2")
    assert await page.text("#run") == "Stop"
    await page.click("#run")
    await page.until("document.querySelector('#lane-callback').dataset.state === 'stopped'")
    await page.until("document.querySelector('#lane-buffered').dataset.state === 'stopped'")
    await asyncio.wait_for(fake.stopped.wait(), 30)


async def test_a_body_is_sent_with_the_methods_that_have_one(page: Page, fake: Fake, fake_control: Control) -> None:
    await enter(page, fake_control)
    assert await page.eval("document.querySelector('#body-field').hidden")
    await page.choose("#method", "POST")
    await page.fill("#path", "sum of \u00e9?x=%20")
    await page.fill("#body", '{"a": 1}')
    copied = await page.text("#curl")
    assert "curl -N -X POST " in copied
    assert copied.endswith("""-H 'content-type: application/json' --data-raw '{"a": 1}'""")
    await race(page)
    assert sorted(request.pop("mode") for request in fake.requests) == ["buffered", "callback"]
    expected = {"function": "words", "method": "POST", "path": "/sum%20of%20%C3%A9?x=%20", "body": '{"a": 1}'}
    assert fake.requests == [expected | {"headers": {"content-type": "application/json"}}] * 2


async def test_a_platform_that_goes_away_is_said_and_its_return_too(
    browser: Browser, fake: Fake, fake_control: Control
) -> None:
    async with browser.open() as page:
        await enter(page, fake_control)
        await page.call(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        await page.until("document.querySelector('#health').dataset.status === 'unreachable'")
        assert "still running" in await page.text("#problem")
        await page.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        await page.until("document.querySelector('#health').dataset.status === 'ready'")
        await page.until("document.querySelector('#problem').hidden")


async def test_an_empty_platform_says_how_to_begin(page: Page, fake: Fake, fake_control: Control) -> None:
    fake.stories = {}
    await page.goto(fake_control.url)
    await page.until("!document.querySelector('#nothing').hidden")
    assert "dialback deploy" in await page.text("#nothing")
    assert await page.eval("document.querySelector('#run').disabled")
    fake.stories = {"late": streams(["x"], every=0)}
    await page.until("document.querySelector('#function option')")
    assert not await page.eval("document.querySelector('#run').disabled")


async def test_an_invocation_opens_its_waterfall(page: Page, fake: Fake, fake_control: Control) -> None:
    fake.invocations = [invocation("words")]
    await enter(page, fake_control)
    await page.until("document.querySelector('#invocations a')")
    await page.eval("document.querySelector('#invocations a').focus()")
    await page.press("Enter", 13, "\r")
    await page.until("document.querySelector('#invocation-waterfall .waterfall li')")
    assert await page.eval("document.activeElement.id") == "invocation-title", "the keyboard goes where the eye goes"
    await page.eval("history.back()")
    await page.until("!document.querySelector('#view-race').hidden")
    assert await page.eval("document.querySelector('#function').value") == "words"
