"""The views: each follows the platform's event stream without a reload, and is reached and read by keyboard alone."""

import json
import time
from typing import Any

import pytest

from .chromium import Browser
from .conftest import WORDS, Control
from .fake_control import Fake
from .stories import NEW, OLD, Json, deployment, invocation, recorded, replayed, streams
from .tab import Page
from .test_looks import CONTRAST

pytestmark = pytest.mark.browser


def line(seq: int, text: str, **other: Any) -> Json:
    about = {"seq": seq, "at": time.time(), "function": "words", "worker": "w_7q2m", "invocation": "01jx"}
    return about | {"stream": "stdout", "level": "INFO", "line": text} | other


def worker(identity: str, state: str) -> Json:
    about = {"id": identity, "function": "words", "deployment": NEW, "state": state, "pid": 4711, "in_flight": 0}
    return about | {"served": 3, "started_at": time.time() - 70, "rss_bytes": 34 << 20}


async def opened(page: Page, control: Control, route: str = "#/") -> None:
    await page.goto(control.url)
    await page.until("document.querySelector('#function option')")
    await visit(page, route)


async def visit(page: Page, route: str) -> None:
    await page.eval(f"void (location.hash = {json.dumps(route)})")


async def test_every_view_is_reached_by_the_navigation_which_says_where_one_is(
    page: Page, fake: Fake, fake_control: Control
) -> None:
    await opened(page, fake_control)
    for route, view in (
        ("functions", "Functions"),
        ("invocations", "Invocations"),
        ("workers", "Workers"),
        ("logs", "Logs"),
    ):
        await page.click(f"nav a[href='#/{route}']")
        await page.until(f"!document.querySelector('#view-{route}').hidden")
        assert await page.eval("document.querySelector('nav [aria-current=page]').textContent") == view
        assert await page.eval("document.title") == f"{view} \u00b7 Dialback"
        shown = "[...document.querySelectorAll('.view')].filter((view) => !view.hidden).length"
        assert await page.eval(shown) == 1
        assert await page.eval("document.activeElement.tagName") == "H1"
    await page.eval("history.back()")
    await page.until("!document.querySelector('#view-workers').hidden")
    await visit(page, "#/no/such/view")
    await page.until("!document.querySelector('#view-race').hidden")


async def test_a_view_can_be_opened_by_its_address(page: Page, fake: Fake, fake_control: Control) -> None:
    fake.traces["01abc"] = recorded("01abc", OLD, 30, 500)
    await opened(page, fake_control)
    await page.goto(f"{fake_control.base_url}/#/invocations/01abc")
    await page.call("Page.reload")
    await page.until("document.querySelector('#invocation-waterfall .waterfall')")
    assert await page.text("#invocation-title") == "POST /@words/a"


async def test_an_invocation_appears_while_it_runs_and_moves_when_it_ends(
    page: Page, fake: Fake, fake_control: Control
) -> None:
    await opened(page, fake_control, "#/invocations")
    await page.until("document.querySelector('#in-flight .empty')")
    await page.eval("window.same = true")
    fake.live = [invocation("words", id="01live", verdict="running", total_ms=None, bytes_out=10)]
    await page.until("document.querySelector('#in-flight [data-id=\"01live\"]')")
    assert await page.text("#live-count") == "1"
    assert await page.text("#in-flight .chip") == "running"
    await page.eval("document.querySelector('#in-flight a').focus()")
    fake.live = [invocation("words", id="01live", verdict="running", total_ms=None, bytes_out=4096)]
    await page.until("document.querySelector('#in-flight td[data-name=Sent]').textContent === '4.0 KiB'")
    assert await page.eval("document.activeElement.dataset.id") == "01live", "an update takes nobody's focus away"
    fake.live = []
    fake.invocations.insert(0, invocation("words", id="01live", verdict="truncated", code="SD"))
    await page.until(
        "document.querySelector('#ended [data-id=\"01live\"]') && document.querySelector('#in-flight .empty')"
    )
    assert await page.eval("document.querySelector('#live-count').hidden")
    assert await page.eval("window.same"), "without a reload"


async def test_the_list_of_invocations_is_narrowed_to_a_function_and_to_failures(
    page: Page, fake: Fake, fake_control: Control
) -> None:
    fake.stories["other"] = streams(WORDS, every=0.01)
    fake.invocations = [
        invocation("words", id="01a"),
        invocation("other", id="01b"),
        invocation("words", id="01c", verdict="timeout", code="sH"),
    ]
    await opened(page, fake_control, "#/invocations")
    shown = "[...document.querySelectorAll('#ended a')].map((link) => link.dataset.id).join()"
    await page.until(f"{shown} === '01a,01b,01c'")
    await page.choose("#of-function", "words")
    assert await page.eval(shown) == "01a,01c"
    await page.click("#only-failed")
    assert await page.eval(shown) == "01c"
    await page.choose("#of-function", "other")
    assert "No invocation" in await page.text("#ended")


async def test_a_line_appears_in_the_log_as_it_is_printed_and_can_be_searched(
    page: Page, fake: Fake, fake_control: Control
) -> None:
    fake.lines = [line(1, "printed before")]
    await opened(page, fake_control, "#/logs")
    await page.until("document.querySelector('#all-logs').textContent.includes('printed before')")
    fake.lines.append(line(2, "printed now", level="ERROR"))
    await page.until("document.querySelector('#all-logs .loud')?.textContent.includes('printed now')")
    assert await page.eval("document.querySelector('#all-logs .loud a').hash") == "#/invocations/01jx"
    await page.fill("#log-words", "BEFORE")
    assert await page.eval("document.querySelectorAll('#all-logs span').length") == 1
    await page.fill("#log-words", "")
    await page.choose("#log-function", "words")
    assert await page.eval("document.querySelectorAll('#all-logs span').length") == 2


async def test_a_flood_of_lines_stays_bounded(page: Page, fake: Fake, fake_control: Control) -> None:
    await opened(page, fake_control, "#/logs")
    await page.until("document.querySelector('#all-logs .quiet')")
    for start in range(0, 6000, 1000):
        fake.lines += [line(start + index + 1, f"line {start + index}") for index in range(1000)]
    await page.until("document.querySelector('#all-logs').lastElementChild.textContent.endsWith('line 5999')")
    assert await page.eval("document.querySelectorAll('#all-logs li').length") <= 500


async def test_what_was_too_fast_to_be_told_is_said(page: Page, fake: Fake, fake_control: Control) -> None:
    await opened(page, fake_control, "#/logs")
    await page.until("document.querySelector('#all-logs .quiet')")
    fake.missed = 1234
    fake.lines.append(line(9, "the next"))
    fake.invocations.append(invocation("words", id="01a"))
    await page.until("document.querySelector('#all-logs').textContent.includes('1,234 lines came too fast')")
    await visit(page, "#/invocations")
    await page.until("document.querySelector('#ended-missed').textContent.startsWith('and 1,234 more')")


async def test_workers_are_shown_by_their_state(page: Page, fake: Fake, fake_control: Control) -> None:
    await opened(page, fake_control, "#/workers")
    await page.until("document.querySelector('#workers').textContent.includes('scaled to zero')")
    fake.workers = [worker("w_1", "idle"), worker("w_2", "starting")]
    await page.until("document.querySelectorAll('#workers code').length === 4")
    assert await page.text("#worker-states") == "1 idle, 1 starting"
    fake.workers = [worker("w_1", "busy")]
    await page.until("document.querySelector('#worker-states').textContent === '1 busy'")
    assert await page.text("#workers td[data-name=Memory]") == "34 MiB"


async def test_a_function_shows_its_deployments_workers_invocations_and_log(
    page: Page, fake: Fake, fake_control: Control
) -> None:
    fake.deployments = [deployment(NEW, True), deployment(OLD, False)]
    fake.workers = [worker("w_1", "idle")]
    fake.invocations = [invocation("words", id="01a"), invocation("other", id="01b")]
    fake.lines = [line(1, "of words"), line(2, "of another", function="other")]
    await opened(page, fake_control, "#/functions")
    await page.click("#functions a")
    await page.until("document.querySelectorAll('#function-deployments code').length === 4")
    assert await page.text("#function-name") == "words"
    assert await page.text("#function-deployments .chip") == "active"
    assert "http://words.localhost:8080/" in await page.text("#function-facts")
    assert await page.eval("document.querySelectorAll('#function-workers tr').length") == 1
    await page.until("document.querySelector('#function-invocations [data-id=\"01a\"]')")
    fake.lines.append(line(3, "of words again"))
    await page.until("document.querySelector('#function-log').textContent.includes('of words again')")
    fake.deployments = [deployment("d_newest", True), *fake.deployments]
    await visit(page, "#/functions/gone")
    await page.until("!document.querySelector('#function-gone').hidden")


async def test_an_invocation_shows_waterfall_request_and_what_it_printed(
    page: Page, fake: Fake, fake_control: Control
) -> None:
    fake.traces["01jx"] = recorded("01jx", OLD, 30, 500)
    fake.deployments = [deployment(NEW, True), deployment(OLD, False)]
    fake.lines = [line(1, "from the inside"), line(2, "of another", invocation="01zz")]
    await opened(page, fake_control, "#/invocations/01jx")
    await page.until("document.querySelector('#invocation-waterfall .bar')")
    await page.until("document.querySelector('#invocation-log').textContent.includes('from the inside')")
    assert "of another" not in await page.text("#invocation-log")
    request = await page.text("#invocation-request")
    assert "POST /@words/a?q=1" in request
    assert "it carries a credential" in request
    assert "body" in request
    assert "HTTP 200" in await page.text("#invocation-how")


async def test_a_running_invocation_shows_its_end_by_itself(page: Page, fake: Fake, fake_control: Control) -> None:
    running = recorded("01jx", NEW, 30, 500) | {"verdict": "running", "total_ms": None}
    fake.traces["01jx"] = running
    fake.deployments = [deployment(NEW, True)]
    fake.live = [invocation("words", id="01jx", verdict="running")]
    await opened(page, fake_control, "#/invocations/01jx")
    await page.until("document.querySelector('#invocation-how .chip.live')")
    assert "still runs" in await page.text("#replay-why")
    fake.traces["01jx"] = running | {"verdict": "ok"}
    fake.live = []
    fake.invocations.insert(0, invocation("words", id="01jx"))
    await page.until("document.querySelector('#invocation-how .chip.good')")
    await page.until("!document.querySelector('#replay').hidden")


async def test_an_invocation_that_is_not_there_is_said(browser: Browser, fake: Fake, fake_control: Control) -> None:
    async with browser.open() as page:
        await opened(page, fake_control, "#/workers")
        await page.call("Network.setBlockedURLs", urls=["*/v1/invocations/*"])
        await visit(page, "#/invocations/01gone")
        await page.until("!document.querySelector('#invocation-problem').hidden")
        assert await page.eval("document.querySelector('#invocation-known').hidden")


@pytest.fixture
def replayable(fake: Fake) -> Fake:
    """An invocation of an older deployment, and what its replay gives."""
    before = fake.traces["01jx"] = recorded("01jx", NEW, 300, 900)
    fake.deployments = [deployment(NEW, True), deployment(OLD, False)]
    fake.replay = replayed(before, recorded("01re", OLD, 30, 1000))
    return fake


async def test_a_replay_against_an_older_deployment_shows_both_timings_on_one_scale(
    page: Page, replayable: Fake, fake_control: Control
) -> None:
    await opened(page, fake_control, "#/invocations/01jx")
    await page.until("!document.querySelector('#replay').hidden")
    options = await page.eval(
        "[...document.querySelectorAll('#replay-deployment option')].map((one) => one.textContent)"
    )
    assert options[0].startswith(f"{NEW} (active, answered then")
    assert options[1].startswith(f"{OLD} (deployed")
    await page.choose("#replay-deployment", OLD)
    await page.click("#replay-run")
    await page.until("document.querySelectorAll('#replay-result .waterfall').length === 2")
    assert replayable.replays == [{"deployment": OLD, "mode": "callback", "headers": {}}]
    scales = await page.eval("[...document.querySelectorAll('#replay-result .ruler')].map((node) => node.textContent)")
    assert scales[0] == scales[1]
    rows = await page.eval(
        "Object.fromEntries([...document.querySelectorAll('.measures tr[data-measure]')].map((row) =>"
        " [row.dataset.measure, [...row.querySelectorAll('td')].map((cell) => cell.textContent)]))"
    )
    assert rows["first_byte_ms"] == ["300 ms", "30 ms", "\u2212270 ms"]
    assert rows["total_ms"] == ["900 ms", "1.00 s", "+100 ms"]
    assert rows["bytes_out"] == ["412 B", "7 B", "\u2212405 B"]
    assert rows["status"] == ["200", "200", "same"]
    result = await page.text("#replay-result")
    assert "The bodies differ." in result
    assert "Sent without authorization" in result
    assert NEW in result
    assert OLD in result
    assert "270 ms sooner" in await page.text("#replay-said")


async def test_what_was_not_kept_can_be_given_again_and_is_not_remembered(
    page: Page, replayable: Fake, fake_control: Control
) -> None:
    await opened(page, fake_control, "#/invocations/01jx")
    await page.until("document.querySelector('#replay-secrets input')")
    assert await page.eval("document.querySelector('#replay-secrets input').type") == "password"
    await page.fill("#replay-secrets input", "Bearer hunter2")
    await page.choose("#replay-mode", "buffered")
    await page.press("Enter", 13, "\r")
    await page.until("document.querySelector('#replay-result .pair')")
    assert replayable.replays == [
        {"deployment": NEW, "mode": "buffered", "headers": {"authorization": "Bearer hunter2"}}
    ]
    assert "Sent without" not in await page.text("#replay-result")
    assert "hunter2" not in await page.eval("JSON.stringify([{...localStorage}, {...sessionStorage}])")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"request": None}, "request was not kept"), ({"function": ""}, "reached no function")],
    ids=["summary", "routed nowhere"],
)
async def test_why_something_cannot_be_replayed_is_said_instead_of_a_form(
    page: Page, replayable: Fake, fake_control: Control, change: Json, said: str
) -> None:
    replayable.traces["01jx"] |= change
    await opened(page, fake_control, "#/invocations/01jx")
    await page.until("!document.querySelector('#replay-why').hidden")
    assert said in await page.text("#replay-why")
    assert await page.eval("document.querySelector('#replay').hidden")


async def test_a_body_that_was_not_kept_is_said_in_both_places(
    page: Page, replayable: Fake, fake_control: Control
) -> None:
    replayable.traces["01jx"]["request"] |= {"body_kept": False, "body": None, "body_bytes": 70_000}
    await opened(page, fake_control, "#/invocations/01jx")
    await page.until("!document.querySelector('#replay-why').hidden")
    assert "up to 64 KiB" in await page.text("#replay-why")
    assert "of 68 KiB was not kept" in await page.text("#invocation-request")


async def test_a_refused_replay_says_why(browser: Browser, replayable: Fake, fake_control: Control) -> None:
    replayable.refusal = (404, {"code": "deployment_not_found", "message": "words has no deployment 'd_x'"})
    async with browser.open() as page:
        await opened(page, fake_control, "#/invocations/01jx")
        await page.until("!document.querySelector('#replay').hidden")
        await page.click("#replay-run")
        await page.until("!document.querySelector('#replay-problem').hidden")
        assert await page.text("#replay-problem") == "words has no deployment 'd_x'"
        assert await page.text("#replay-run") == "Replay"


VIEWS = ("#/functions", "#/functions/words", "#/invocations", "#/invocations/01jx", "#/workers", "#/logs")


async def filled(page: Page, fake: Fake, control: Control) -> None:
    """Something in every view, long words too."""
    fake.workers = [worker("w_1", "busy"), worker("w_2", "idle")]
    fake.live = [invocation("words", id="01live", verdict="running", path="/@words/" + "long" * 30)]
    failed = invocation("words", id="01b", mode="tunnel", verdict="timeout", code="sH")
    fake.invocations = [invocation("words", id="01a"), failed]
    fake.lines = [line(1, "x" * 300), line(2, "bad", level="ERROR")]
    await opened(page, control)


@pytest.mark.parametrize("width", [360, 768])
async def test_no_view_scrolls_sideways_and_targets_are_large(
    browser: Browser, replayable: Fake, fake_control: Control, width: int
) -> None:
    async with browser.open(width, 780) as page:
        await filled(page, replayable, fake_control)
        for route in VIEWS:
            await visit(page, route)
            await page.until("document.querySelector('.view:not([hidden]) :is(td, li)')")
            if route.endswith("01jx"):
                await page.until("!document.querySelector('#replay').hidden")
                await page.click("#replay-run")
                await page.until("document.querySelector('#replay-result .pair')")
            assert await page.eval("document.documentElement.scrollWidth") <= width, route
            small = await page.eval(
                "[...document.querySelectorAll('nav a, input, select, button:not(.link), summary')].filter((node) =>"
                " node.checkVisibility() && Math.max(node.getBoundingClientRect().height,"
                " node.closest('label')?.getBoundingClientRect().height ?? 0) < 36).map((node) => node.outerHTML)"
            )
            assert small == [], route
        assert page.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_every_view_has_enough_contrast(page: Page, replayable: Fake, fake_control: Control, dark: bool) -> None:
    await page.prefer(dark=dark, calm=True)
    await filled(page, replayable, fake_control)
    for route in VIEWS:
        await visit(page, route)
        await page.until("document.querySelector('.view:not([hidden]) :is(td, li)')")
        if route.endswith("01jx"):
            await page.until("!document.querySelector('#replay').hidden")
            await page.click("#replay-run")
            await page.until("document.querySelector('#replay-result .pair')")
        worst = await page.eval(CONTRAST)
        assert worst[0][0] >= 4.5, (route, worst)


async def test_every_control_of_every_view_has_a_name(page: Page, replayable: Fake, fake_control: Control) -> None:
    await filled(page, replayable, fake_control)
    named = {"button", "textbox", "combobox", "checkbox", "region", "link", "form", "navigation"}
    for route in VIEWS:
        await visit(page, route)
        await page.until("document.querySelector('.view:not([hidden]) :is(td, li)')")
        tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
        nameless = [
            node["role"]["value"]
            for node in tree
            if not node["ignored"] and node["role"]["value"] in named and not node.get("name", {}).get("value")
        ]
        assert nameless == [], route


async def test_a_page_that_nobody_looks_at_gives_its_connection_back(
    page: Page, fake: Fake, fake_control: Control
) -> None:
    await opened(page, fake_control, "#/workers")
    await page.until("document.querySelector('#workers .empty')")
    assert fake.watching == 1
    hide = "Object.defineProperty(document, 'hidden', {{value: {value}, configurable: true}})"
    await page.eval(hide.format(value="true") + "; void document.dispatchEvent(new Event('visibilitychange'))")
    await page.eval("fetch('/').then((answer) => answer.status)")
    assert fake.watching == 0
    fake.workers = [worker("w_1", "idle")]
    await page.eval(hide.format(value="false") + "; void document.dispatchEvent(new Event('visibilitychange'))")
    await page.until("document.querySelector('#workers code')")
    assert fake.watching == 1


async def test_a_stream_that_breaks_is_taken_up_again(page: Page, fake: Fake, fake_control: Control) -> None:
    await opened(page, fake_control, "#/workers")
    await page.until("document.querySelector('#workers .empty')")
    fake.workers = [worker("w_1", "idle")]
    fake.break_streams()
    await page.until("document.querySelector('#workers code')")
    await page.until("document.querySelector('#problem').hidden")
    assert await page.text("#health") == "ready"
