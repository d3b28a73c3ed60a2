"""The report page in a real browser: Chromium, opened from disk. Skipped where Chromium or playwright is not installed."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate import report_making as making

FRAMES, FPS = 50, 25
PATIENCE = 60_000  # ms
IDS = ["dance_a", "dance_b", "<script>alert(1)</script>", "w" * 90]
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}}
TIMES = "[...document.querySelector('.player').querySelectorAll('video')].map(v => v.currentTime)"
NAMELESS = """
[...document.querySelectorAll('button, a[href], input, select, video, summary, [role=img], [role=group], [role=region]')].filter(node => {
  const by = node.getAttribute('aria-labelledby');
  const name = node.getAttribute('aria-label') || (by && document.getElementById(by)?.textContent) || node.textContent;
  return !name.trim();
}).map(node => node.outerHTML.slice(0, 80))
"""
FAINT = """
(() => {
  const light = c => { const v = c.map(x => x / 255).map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
    return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
  const parse = s => s.match(/[\\d.]+/g).map(Number);
  const ground = node => { for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  return [...document.querySelectorAll('body *')].filter(n => [...n.childNodes].some(c => c.nodeType === 3 && c.textContent.trim()))
    .filter(n => !n.closest('script, style, svg, option, .unseen') && n.getClientRects().length)
    .map(n => { const [a, b] = [light(parse(getComputedStyle(n).color).slice(0, 3)), light(ground(n))].sort((x, y) => y - x);
      return [(a + .05) / (b + .05), n.className || n.tagName]; }).filter(([ratio]) => ratio < 4.5);
})()
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with making.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return making.write(tmp_path_factory.mktemp("page") / "out", IDS, FRAMES, (96, 128))


@pytest.fixture
def opened(chromium: Any, report: Path) -> Iterator[Any]:
    page, said, asked = watched(chromium, report, DESKTOP)
    yield page
    page.close()
    assert said == []
    assert all(url.startswith(("file:", "data:")) for url in asked)


def watched(chromium: Any, report: Path, options: dict[str, Any]) -> tuple[Any, list[str], list[str]]:
    """The page, what its console says, what it asks for."""
    said: list[str] = []
    asked: list[str] = []
    page = chromium.new_page(**options)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url) if "ERR_ABORTED" not in str(request.failure) else None)
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(report.as_uri())
    return page, said, asked


def column(page: Any, number: int) -> list[str]:
    texts: list[str] = page.evaluate(
        f"[...document.querySelectorAll('table.sortable tbody tr')].map(r => r.cells[{number}].dataset.value)"
    )  # fmt: skip
    return texts


def test_heads_sort_by_click_and_by_keyboard(opened: Any) -> None:
    heads = opened.locator("table.sortable thead th")
    number = heads.all_inner_texts().index("PSNR")
    assert heads.nth(number).get_attribute("aria-sort") == "none"
    heads.nth(number).get_by_role("button").click()
    assert heads.nth(number).get_attribute("aria-sort") == "ascending"
    values = [float(v) for v in column(opened, number)]
    assert values == sorted(values)
    heads.nth(number).get_by_role("button").focus()
    opened.keyboard.press("Enter")
    assert heads.nth(number).get_attribute("aria-sort") == "descending"
    assert [float(v) for v in column(opened, number)] == values[::-1]
    opened.keyboard.press("Shift+Tab")
    opened.keyboard.press("Space")
    other = opened.evaluate("document.activeElement.closest('th').cellIndex")
    assert other == number - 1
    assert heads.nth(other).get_attribute("aria-sort") == "ascending"
    assert heads.nth(number).get_attribute("aria-sort") == "none"
    heads.nth(0).get_by_role("button").click()
    assert sorted(column(opened, 0)) == sorted(IDS)
    assert column(opened, 0)[1:3] == ["dance_a", "dance_b"]


def test_clips_load_late_play_in_step_and_stop_together(opened: Any) -> None:
    last = opened.locator(".player").last.locator("video")
    assert [v.evaluate("v => [v.preload, v.readyState, v.controls]") for v in last.all()] == [["none", 0, False]] * 4
    player = opened.locator(".player").first
    player.get_by_role("button", name="Play").click()
    opened.wait_for_function(f"{TIMES}.every(t => t > 0.4)")
    assert player.get_by_role("button", name="Pause").count() == 1
    in_step = f"(times => Math.max(...times) - Math.min(...times) < 1.5 / {FPS})({TIMES})"
    opened.wait_for_function(in_step, timeout=PATIENCE)  # a busy machine may stall a decoder for a while: they must come together again
    player.get_by_role("button", name="Pause").click()
    opened.wait_for_function("[...document.querySelectorAll('.player video')].every(v => v.paused && !v.seeking)")
    times = opened.evaluate(TIMES)
    assert len(times) == 4
    assert max(times) - min(times) < 1e-3


def test_a_clip_that_has_drifted_is_brought_back(opened: Any) -> None:
    player = opened.locator(".player").first
    player.get_by_role("button", name="Play").click()
    opened.wait_for_function(f"{TIMES}.every(t => t > 0.2)")
    player.locator("video[data-role=truth]").evaluate("v => { v.currentTime = (v.currentTime + 1) % 2; }")
    lead = "document.querySelector('.player video[data-role=prediction]').currentTime"
    truth = "document.querySelector('.player video[data-role=truth]').currentTime"
    apart = f"Math.abs((({truth} - {lead} + 3) % 2) - 1)"
    opened.wait_for_function(f"{apart} < 0.06", timeout=PATIENCE)
    assert opened.evaluate("document.querySelectorAll('.player video')[0].paused") is False


def test_frames_are_stepped_scrubbed_and_named(opened: Any) -> None:
    player = opened.locator(".player").first
    shown = player.locator(".time")
    assert shown.inner_text() == f"frame 0 (1 of {FRAMES}) · 0.00 s"
    player.get_by_role("button", name="One frame on").click()
    player.get_by_role("button", name="One frame on").click()
    opened.wait_for_function(f"{TIMES}.every(t => Math.abs(t - 2.5 / {FPS}) < 1e-3)")
    assert shown.inner_text() == f"frame 2 (3 of {FRAMES}) · 0.08 s"
    player.focus()
    for keys, frame in ((["ArrowLeft"], 1), (["End"], FRAMES - 1), (["ArrowRight"], 0), (["ArrowLeft"], FRAMES - 1), (["Home"], 0)):
        for key in keys:
            opened.keyboard.press(key)
        opened.wait_for_function(f"{TIMES}.every(t => Math.abs(t - {frame + 0.5} / {FPS}) < 1e-3)")
        assert player.get_by_role("slider").input_value() == str(frame)
    player.get_by_role("slider").fill("30")
    opened.wait_for_function(f"{TIMES}.every(t => Math.abs(t - 30.5 / {FPS}) < 1e-3)")
    assert player.locator(".mark").get_attribute("transform") == f"translate({30 * 1000 / (FRAMES - 1)} 0)"
    player.focus()
    opened.keyboard.press("Space")
    opened.wait_for_function("document.querySelectorAll('.player video')[0].currentTime > 31.5 / 25")
    opened.keyboard.press("Space")
    opened.wait_for_function("document.querySelectorAll('.player video')[0].paused")
    player.get_by_label("Speed").select_option("0.25")
    assert player.locator("video").first.evaluate("v => v.playbackRate") == 0.25


def test_one_row_plays_at_a_time(opened: Any) -> None:
    first, second = opened.locator(".player").nth(0), opened.locator(".player").nth(1)
    first.get_by_role("button", name="Play").click()
    opened.wait_for_function("!document.querySelector('.player video').paused")
    second.get_by_role("button", name="Play").click()
    opened.wait_for_function("document.querySelector('.player video').paused")
    assert first.get_by_role("button", name="Play").count() == 1


def test_lines_are_marked_in_all_charts(opened: Any) -> None:
    charts = opened.locator("svg.chart").count()
    picks = opened.locator(".pick")
    assert [p.get_attribute("aria-pressed") for p in picks.all()] == ["true", "false", "false", "true"]
    picks.nth(1).click()
    assert opened.locator("g.line.marked[data-video='1']").count() == charts
    picks.nth(0).click()
    assert opened.locator("g.line.marked[data-video='0']").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_sideways_scroll_and_text_can_be_read(chromium: Any, report: Path, scheme: str) -> None:
    page, said, _ = watched(chromium, report, {**PHONE, "color_scheme": scheme})
    for part in page.locator("details").all():
        part.evaluate("d => { d.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(n => !n.closest('.scroll, .picks, svg, .unseen') "
        "&& n.getBoundingClientRect().right > 361).map(n => n.outerHTML.slice(0, 99))"
    )
    assert wide == []
    assert page.evaluate(FAINT) == []
    page.close()
    assert said == []


def test_dark_is_dark(chromium: Any, report: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        page = chromium.new_page(**DESKTOP, color_scheme=scheme)
        page.goto(report.as_uri())
        style = "getComputedStyle(document.body)"
        colours[scheme] = [sum(map(int, page.evaluate(f"{style}.{key}.match(/\\d+/g)"))) for key in ("backgroundColor", "color")]
        page.close()
    assert colours["light"][0] > 700 > 100 > colours["dark"][0]
    assert colours["dark"][1] > 600 > 150 > colours["light"][1]


def test_whoever_does_not_see_finds_everything(opened: Any) -> None:
    assert opened.evaluate("document.documentElement.lang") == "en"
    assert opened.evaluate("[...document.images].filter(i => !i.alt).length") == 0
    assert opened.evaluate(NAMELESS) == []
    levels = opened.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert opened.locator("main").count() == 1
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.className") == "skip"
    opened.keyboard.press("Enter")
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.closest('main') !== null")
    outline = opened.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_print_leaves_the_controls_out(chromium: Any, report: Path) -> None:
    page = chromium.new_page(**DESKTOP)
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert not page.locator(".controls").first.is_visible()
    assert not page.locator("nav").is_visible()
    assert page.locator("table.figures").is_visible()
    page.close()


def test_without_scripts_clips_can_still_be_played(chromium: Any, report: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("video").first.get_attribute("controls") is not None
    context.close()


def test_pictures_have_no_players(chromium: Any, tmp_path: Path) -> None:
    page, said, _ = watched(chromium, making.write(tmp_path / "out", ["a", "b", "c"], 1, (48, 64), pictures=True), PHONE)
    assert page.locator("video, .controls, .pick").count() == 0
    assert page.locator(".player img").count() == 15
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
    assert said == []
