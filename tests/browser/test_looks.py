"""Readable in light and dark, on a phone, without motion, and with a screen reader."""

import json

import pytest

from .chromium import Browser
from .conftest import Control, enter, race
from .tab import Page

pytestmark = pytest.mark.browser

# The WCAG contrast of every visible text with the ground it stands on (SVG text stands on the node or panel below).
CONTRAST = """(() => {
  const rgb = (text) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(rgb(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
    if (node.closest("option, :disabled, title, desc, noscript")) continue;
    const style = getComputedStyle(node);
    const svg = node instanceof SVGElement;
    const sunk = rgb(getComputedStyle(document.querySelector(".node")).fill);
    const under = svg ? sunk : ground(node);
    const [a, b] = [luminance(rgb(svg ? style.fill : style.color)), luminance(under)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]).slice(0, 5);
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_every_text_has_a_contrast_of_at_least_4_5(page: Page, control: Control, dark: bool) -> None:
    await page.prefer(dark=dark, calm=True)
    await enter(page, control)
    await race(page)
    background = await page.eval("getComputedStyle(document.body).backgroundColor")
    level = sum(int(part) for part in background[4:-1].split(",")[:3]) / 3
    assert (level < 60) is dark
    worst = await page.eval(CONTRAST)
    assert worst[0][0] >= 4.5, worst


async def test_every_control_has_a_name_and_every_region_a_label(page: Page, control: Control) -> None:
    await enter(page, control)
    tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
    named = {"button", "textbox", "combobox", "region", "table", "dialog", "img"}
    nameless = [
        node["role"]["value"]
        for node in tree
        if not node["ignored"] and node["role"]["value"] in named - {"table"} and not node.get("name", {}).get("value")
    ]
    assert nameless == []
    assert await page.eval("document.querySelector('#said').getAttribute('aria-live')") == "polite"
    assert await page.eval("[...document.querySelectorAll('h1')].filter((node) => node.checkVisibility()).length") == 1
    assert await page.eval("document.documentElement.lang") == "en"


async def test_the_race_is_run_by_keyboard_alone(page: Page, control: Control) -> None:
    await enter(page, control)
    await page.eval("document.querySelector('#path').focus()")
    await page.press("Enter", 13, "\r")
    await page.until("document.querySelector('#pick.running')")
    await page.until("document.querySelector('#lane-callback').dataset.state === 'done'", seconds=30)


async def test_tab_reaches_everything_in_reading_order(page: Page, control: Control) -> None:
    await enter(page, control)
    await page.eval("document.activeElement.blur()")
    reached = []
    for _ in range(14):
        await page.press("Tab", 9)
        reached.append(
            await page.eval(
                "document.activeElement.id || document.activeElement.getAttribute('aria-label')"
                " || document.activeElement.getAttribute('href')"
            )
        )
    assert reached[:5] == ["#/", "#/functions", "#/invocations", "#/workers", "#/logs"]
    form = ["function", "method", "path", "second", "run", "copy"]
    assert reached[5:13] == [*form, "The buffered answer", "The callback answer"]


async def test_who_asked_for_less_motion_gets_none(page: Page, control: Control) -> None:
    await page.prefer(calm=True)
    await page.before_load(
        """window.pulses = 0;
        addEventListener("DOMContentLoaded", () => {
          const drawn = document.querySelector(".pulses");
          const count = (all) => { for (const one of all) pulses += one.addedNodes.length; };
          if (drawn) new MutationObserver(count).observe(drawn, { childList: true });
        });"""
    )
    await enter(page, control)
    await race(page)
    assert await page.eval("pulses") == 0
    assert await page.eval("document.getAnimations().length") == 0
    assert await page.eval("document.querySelectorAll('.strand.used').length") == 7


async def test_pulses_travel_and_are_taken_away_again(page: Page, control: Control) -> None:
    await enter(page, control)
    await page.click("#run")
    await page.until("document.querySelector('.pulses circle')")
    await page.until("document.querySelector('#lane-callback').dataset.state === 'done'", seconds=30)
    await page.until("!document.querySelector('.pulses circle')")


async def test_on_a_phone_targets_are_large_and_text_is_readable(browser: Browser, control: Control) -> None:
    async with browser.open(360, 740) as page:
        await enter(page, control)
        await race(page)
        small = await page.eval(
            "[...document.querySelectorAll('input, select, button:not(.link), summary')].filter((node) =>"
            " node.checkVisibility() && node.getBoundingClientRect().height < 36).map((node) => node.outerHTML)"
        )
        assert small == []
        factor = await page.eval("document.querySelector('#hops').getBoundingClientRect().width / 340")
        sizes = await page.eval(
            "[...document.querySelectorAll('#hops text')].map((node) => parseFloat(getComputedStyle(node).fontSize))"
        )
        assert min(sizes) * factor >= 9.5, json.dumps([factor, sizes])
