"""The race as a person sees it. These run against a real platform too (see conftest)."""

import pytest

from .conftest import Control, enter, race
from .tab import Page

pytestmark = pytest.mark.browser

# Notes, from before the first script runs, when each lane first shows text and every way each strand lit.
WATCH = """
window.seen = { text: {}, lit: {} };
addEventListener("DOMContentLoaded", () => {
  for (const lane of document.querySelectorAll(".lane .text"))
    new MutationObserver(() => {
      const name = lane.closest(".lane").id;
      if (lane.textContent && !(name in seen.text)) seen.text[name] = performance.now();
    }).observe(lane, { childList: true });
  for (const strand of document.querySelectorAll(".strand"))
    new MutationObserver(() => {
      for (const way of ["to-client", "to-worker"])
        if (strand.classList.contains("lit") && strand.classList.contains(way))
          seen.lit[`${strand.dataset.mode} ${strand.dataset.hop} ${way}`] = true;
    }).observe(strand, { attributes: true, attributeFilter: ["class"] });
});
"""


async def test_callback_shows_its_first_chunk_while_buffered_still_waits(page: Page, control: Control) -> None:
    await page.before_load(WATCH)
    await enter(page, control)
    await page.click("#run")
    chunks = "Number(document.querySelector('#lane-callback .chunks').textContent)"
    await page.until(f"{chunks} >= 2 && document.querySelector('#lane-buffered').dataset.state === 'waiting'")
    await page.until("!document.querySelector('#pick.running')", seconds=30)
    text = await page.eval("seen.text")
    assert text["lane-callback"] < text["lane-buffered"]


async def test_both_lanes_end_with_the_same_answer_in_more_chunks_for_callback(page: Page, control: Control) -> None:
    await enter(page, control)
    await race(page)
    states = await page.eval("[...document.querySelectorAll('.lane')].map((lane) => lane.dataset.state)")
    assert states == ["done", "done"]
    sizes = await page.eval("[...document.querySelectorAll('.lane .size')].map((node) => node.textContent)")
    assert sizes[0] == sizes[1] != "0 B"
    buffered, callback = await page.eval(
        "[...document.querySelectorAll('.lane .chunks')].map((node) => +node.textContent)"
    )
    assert callback > buffered >= 1
    assert "sooner" in await page.text("#said")


async def test_each_lane_draws_a_tick_for_every_chunk(page: Page, control: Control) -> None:
    await enter(page, control)
    await race(page)
    ticks = await page.eval("document.querySelector('#lane-callback .ticks').getAttribute('d').split('M').length - 1")
    chunks = await page.eval("+document.querySelector('#lane-callback .chunks').textContent")
    assert 1 < ticks <= chunks


async def test_the_hops_light_up_in_the_direction_of_their_frames(page: Page, control: Control) -> None:
    await page.before_load(WATCH)
    await enter(page, control)
    await race(page)
    lit = set(await page.eval("Object.keys(seen.lit)"))
    for mode in ("buffered", "callback"):
        for hop in ("client", "link", "runtime"):
            assert {f"{mode} {hop} to-worker", f"{mode} {hop} to-client"} <= lit
    assert "callback socket to-client" in lit
    assert not {strand for strand in lit if strand.startswith("buffered socket")}
    socket, runtime = await page.eval(
        "['socket', 'runtime'].map((hop) => +document.querySelector(`.callback[data-hop=${hop}]`).dataset.toClient)"
    )
    assert socket > runtime, "in callback mode the chunks return through the socket, not through the runtime API"


async def test_the_waterfall_of_each_mode_is_drawn_on_one_scale(page: Page, control: Control) -> None:
    await enter(page, control)
    await race(page)
    modes = await page.eval("[...document.querySelectorAll('#waterfalls article')].map((node) => node.dataset.mode)")
    assert modes == ["buffered", "callback"]
    for mode in modes:
        marks = await page.eval(
            f"[...document.querySelectorAll('.waterfall.{mode} li[data-mark]')].map((li) => li.dataset.mark)"
        )
        assert {"received", "payload_handed", "first_byte"} <= set(marks)
        widths = await page.eval(
            f"[...document.querySelectorAll('.waterfall.{mode} .bar')].map((bar) => bar.offsetWidth)"
        )
        assert max(widths) > 50
        assert min(widths) >= 2
    scales = await page.eval("[...document.querySelectorAll('.ruler')].map((ruler) => ruler.textContent)")
    assert scales[0] == scales[1]


async def test_tunnel_races_in_its_own_colour_and_name(page: Page, control: Control) -> None:
    await enter(page, control)
    await page.choose("#second", "tunnel")
    await race(page)
    assert await page.text("#name-callback") == "tunnel"
    assert "tunnel's first byte" in await page.text("#said")
    modes = await page.eval("[...document.querySelectorAll('#waterfalls article')].map((node) => node.dataset.mode)")
    assert modes == ["buffered", "tunnel"]
    colours = await page.eval(
        "['#lane-callback', '.strand[data-hop=socket] line', '#waterfalls .tunnel'].map((where) =>"
        " getComputedStyle(document.querySelector(where)).getPropertyValue('--lane').trim())"
    )
    assert len(set(colours)) == 1
    assert await page.eval("document.querySelector('.strand[data-hop=socket]').dataset.toWorker >= 1")
    await page.choose("#second", "callback")
    await race(page)
    assert await page.text("#name-callback") == "callback"
    assert await page.eval("document.querySelector('#lane-callback').matches('.callback:not(.tunnel)')")


async def test_the_token_leaves_the_address_bar_and_survives_a_reload(page: Page, control: Control) -> None:
    await enter(page, control)
    assert await page.eval("location.href") == f"{control.base_url}/"
    entries = (await page.call("Page.getNavigationHistory"))["entries"]
    assert not [entry["url"] for entry in entries if control.token in entry["url"]]
    await page.call("Page.reload")
    await page.until("document.querySelector('#function option')")
    assert control.token not in await page.eval("JSON.stringify(localStorage)")
    assert await page.eval("document.cookie") == ""


async def test_nothing_is_fetched_from_anywhere_else(page: Page, control: Control) -> None:
    await enter(page, control)
    await race(page)
    elsewhere = [url for url in page.requested if not url.startswith((control.base_url, "data:", "about:"))]
    assert elsewhere == []
    assert not [url for url in page.requested if control.token in url and "#" not in url]


@pytest.mark.parametrize("width", [360, 768, 1280])
async def test_no_width_scrolls_sideways(page: Page, control: Control, width: int) -> None:
    await page.resize(width, 780)
    await enter(page, control)
    await race(page)
    assert await page.eval("document.documentElement.scrollWidth") <= width
    await page.until("document.querySelector('#invocations a')")
    await page.click("#invocations a")
    await page.until("document.querySelector('#invocation-waterfall .waterfall')")
    assert await page.eval("document.documentElement.scrollWidth") <= width
