"""The page in a browser: Chromium, headless, through Playwright. QDR_CHROMIUM names it where it is not on PATH."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qdr.rows import write_rows
from qdr.suite import config
from qdr.suite.report.site import write_site

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("QDR_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
OPTIONS += ["--disable-sync", "--no-first-run"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH; QDR_CHROMIUM names one elsewhere"),
]
TENSORS = [("in", "activations", "image"), ("stem", "weights", "in"), ("out", "activations", "in")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def address(results: Path, settings: config.Config, tmp_path: Path) -> str:
    about = {"task": "derain", "method": "qdr", "bits": "W8A8"}
    row = {"width": 8, "granularity": "tensor", "scales": 1, "scale_min": 0.01, "scale_median": 0.01, "scale_max": 0.01}
    rows = [
        about
        | {"position": i, "tensor": name, "kind": kind, "operator": "Conv", "inputs": inputs}
        | row
        | {"shape": "1x3x8x8"}
        for i, (name, kind, inputs) in enumerate(TENSORS)
    ]
    write_rows(results / "graph.csv", rows)
    write_site(settings, results, tmp_path / "site")
    return (tmp_path / "site" / "index.html").as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page at 1280 pixels in light colours; afterwards nothing was complained of or asked from elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened, wrong = context.new_page(), []
    opened.on("console", lambda said: wrong.append(said.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    opened.goto(address)
    yield opened
    for plot in opened.locator(".plot").all():
        plot.scroll_into_view_if_needed()
    opened.wait_for_function("document.querySelectorAll('.plot').length === document.querySelectorAll('.plot.drawn').length")
    assert opened.locator(".plot .main-svg").count() > 10
    assert wrong == []
    context.close()


def column(page: Any, table: str, name: str) -> list[str]:
    names = page.locator(f"#{table}-table th button").all_inner_texts()
    cells = page.locator(f"#{table}-table tbody tr:visible td:nth-child({names.index(name) + 1})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_tables_sort_and_filter(page: Any) -> None:
    before = column(page, "main", "PSNR (dB)")
    head = page.locator("#main-table th", has_text="PSNR (dB)").first
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, "main", "PSNR (dB)") == sorted(before, key=float)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, "main", "PSNR (dB)") == sorted(before, key=float, reverse=True)
    page.locator("#main-table th", has_text="Gain recovery").locator("button").click()
    assert head.get_attribute("aria-sort") == "none"
    recovery = [float(text.split()[0]) for text in column(page, "main", "Gain recovery")]
    assert recovery == sorted(recovery)
    page.locator("#main input[type=search]").fill("rain int8 none-such")
    assert column(page, "main", "Method") == []
    page.locator("#main input[type=search]").fill("rain qdr")
    assert column(page, "main", "Method") == ["QDR"]
    assert page.locator("#main output").inner_text() == f"1 of {len(before)} rows"


def test_sliders_divide_zoom_and_move_every_crop(page: Any) -> None:
    shot = page.locator("#shot-derain")
    shot.locator("input[name=at]").fill("20")
    inset = "getComputedStyle(document.querySelector('#shot-derain .over')).clipPath"
    assert "20%" in page.evaluate(inset)
    shot.locator("input[name=at]").focus()
    page.keyboard.press("ArrowRight")
    assert "21%" in page.evaluate(inset)
    shot.locator("input[name=zoom]").fill("4")
    shot.locator("input[name=x]").fill("25")
    crops = (
        "[...document.querySelectorAll('#shot-derain .view img')].map(i => getComputedStyle(i)).map(s => [s.transform, {}])"
    )
    transforms = page.evaluate(crops.format("s.imageRendering"))
    assert len(transforms) == 8
    assert {tuple(found) for found in transforms} == {("matrix(4, 0, 0, 4, 0, 0)", "pixelated")}
    origins = page.evaluate(
        "[...document.querySelectorAll('#shot-derain .view')].map(v => "
        "parseFloat(getComputedStyle(v.firstElementChild).transformOrigin) / v.clientWidth)"
    )
    assert origins == pytest.approx([0.25] * 8, abs=0.01)
    assert page.locator("#shot-lowlight input[name=zoom]").input_value() == "1"
    shot.locator("select[name=left]").select_option(label="Target")
    assert shot.locator(".stage img.left").get_attribute("src") == "samples/derain/target.png"
    assert shot.locator(".tag").first.inner_text() == "Target"
    assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")


def test_a_crop_that_is_pointed_at_is_shown_by_all(page: Any) -> None:
    crop = page.locator("#shot-derain .crops .view").nth(2)
    size = crop.bounding_box()
    crop.click(position={"x": 0.75 * size["width"], "y": 0.5 * size["height"]})
    shot = page.locator("#shot-derain")
    assert float(shot.locator("input[name=x]").input_value()) == pytest.approx(75, abs=1)
    assert shot.locator("input[name=zoom]").input_value() == "4"


def test_the_theme_follows_the_button(page: Any) -> None:
    background, ink = "getComputedStyle(document.body).backgroundColor", "getComputedStyle(document.body).color"
    plot = page.locator("#front-1")
    plot.scroll_into_view_if_needed()
    page.wait_for_selector("#front-1.drawn .xtick text")
    tick = "getComputedStyle(document.querySelector('#front-1 .xtick text')).fill"
    light = [page.evaluate(what) for what in (background, ink, tick)]
    page.locator("#theme").press("Enter")
    assert page.locator("#theme").get_attribute("aria-pressed") == "true"
    page.wait_for_function(f"{tick} !== '{light[2]}'")
    dark = [page.evaluate(what) for what in (background, ink, tick)]
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.reload()
    assert page.evaluate(background) == dark[0]  # remembered


def test_everything_can_be_reached_from_the_keyboard(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        kind = page.evaluate("document.activeElement.tagName + (document.activeElement.type || '')")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        seen.add(kind)
        assert outline != "none", f"the focus on {kind} cannot be seen"
    assert {"SUMMARY", "INPUTsearch", "BUTTONbutton", "DIV"} <= seen
    page.locator("#main summary").press("Enter")
    assert page.locator("#main dl").is_visible()
    assert "qdr report tables --profile smoke" in page.locator("#main dl").inner_text()


@pytest.mark.parametrize("width", [375, 768])
def test_nothing_is_wider_than_a_phone(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('#main-table').scrollWidth") > 0
    wide = "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .view, .plot, .stage')"
    assert (
        page.evaluate(f"{wide} && e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML.slice(0, 80))") == []
    )
