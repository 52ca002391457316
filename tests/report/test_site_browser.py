"""The page in a browser: Chromium, headless, through Playwright. QDR_CHROMIUM names it where it is not on PATH."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("QDR_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
OPTIONS += ["--disable-sync", "--no-first-run"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH; QDR_CHROMIUM names one elsewhere"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, site: Path) -> Iterator[Any]:
    """The page at 1280 pixels in light colours; afterwards nothing was complained of or asked from elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened, wrong = context.new_page(), []
    opened.on("console", lambda said: wrong.append(said.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    opened.goto(site.as_uri())
    yield opened
    assert wrong == []
    context.close()


def column(page: Any, table: str, name: str) -> list[str]:
    names = page.locator(f"#{table}-table th button").all_inner_texts()
    cells = page.locator(f"#{table}-table tbody tr:visible td:nth-child({names.index(name) + 1})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_tables_sort_and_keep_their_first_column(page: Any) -> None:
    page.locator("#main summary").click()
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
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("#main .scroll").evaluate("box => box.scrollLeft = 200")
    first, box = page.locator("#main td").first.bounding_box(), page.locator("#main .scroll").bounding_box()
    assert first["x"] == pytest.approx(box["x"], abs=1)


def test_a_slider_divides_two_chosen_versions(page: Any) -> None:
    shot = page.locator("#shot-derain")
    shot.locator("input").fill("20")
    inset = "getComputedStyle(document.querySelector('#shot-derain img.right')).clipPath"
    assert "20%" in page.evaluate(inset)
    shot.locator("input").focus()
    page.keyboard.press("ArrowRight")
    assert "21%" in page.evaluate(inset)
    shot.locator("select[name=left]").select_option("target")
    assert [shot.locator(f"img.{side}").get_attribute("data-name") for side in ("left", "right")] == ["target", "qdr"]
    shot.locator("select[name=left]").select_option("qdr")
    assert shot.locator("img:visible").count() == 1
    sizes = "[...document.querySelectorAll('.stage img')].map(i => [i.naturalWidth, i.parentElement.clientWidth])"
    assert {tuple(size) for size in page.evaluate(sizes)} == {(32, 64)}
    assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")


def test_pictures_and_verdict_are_on_the_first_screen(page: Any) -> None:
    for selector in ("#verdict", "#shot-derain .stage", "#shot-lowlight .stage"):
        box = page.locator(selector).bounding_box()
        assert box["y"] + box["height"] < 900, selector


def test_a_print_shows_every_table(page: Any) -> None:
    assert page.locator("details:not([open])").count() > 5
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 5


def test_everything_can_be_reached_from_the_keyboard(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.tagName + (document.activeElement.type || '')"))
    assert {"SUMMARY", "INPUTrange", "SELECTselect-one", "BUTTONbutton", "DIV"} <= seen


@pytest.mark.parametrize("width", [375, 768])
def test_nothing_is_wider_than_a_phone(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('#main-table').scrollWidth") > 0
    wide = "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .stage')"
    assert (
        page.evaluate(f"{wide} && e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML.slice(0, 80))") == []
    )
