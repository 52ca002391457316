from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from qdr.rows import read_rows, write_rows
from qdr.suite import config
from qdr.suite.report import figures
from qdr.suite.report.results import Results
from qdr.suite.report.style import LOOKS, look

QUALITY = {"recovery", "before-after-lowlight", "before-after-derain", "ldg-gates", "sensitivity", "detection"}
QUALITY |= {"detection-boxes", "gradients", "error-growth"}
SPEED = {"roofline", "jetson-prediction"}


@pytest.mark.slow
def test_every_figure_twice_with_the_same_bytes(results: Path, settings: config.Config, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        figures.write_quality(Results(settings, results), tmp_path / folder)
        figures.write_speed(Results(settings, results), tmp_path / folder)
    expected = {f"quality/{name}.{kind}" for name in QUALITY for kind in ("png", "pdf", "txt")}
    expected |= {f"speed/{name}.{kind}" for name in SPEED for kind in ("png", "pdf", "txt")}
    found = {path.relative_to(tmp_path / "first").as_posix() for path in (tmp_path / "first").rglob("*.*")}
    assert found == expected
    for name in expected:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
        if name.endswith("png"):
            with Image.open(tmp_path / "first" / name) as image:
                assert image.width in (680, 1400), "the width of a column or of a page"
                assert len(image.convert("L").getcolors() or range(257)) > 20, "an empty picture"


def test_few_images_are_a_figure_once_there_are_three_numbers_of_them(results: Path, settings: config.Config) -> None:
    figures.use_style()
    assert figures.few_images(Results(settings, results)) is None
    rows = read_rows(results / "quality.csv")
    write_rows(results / "quality.csv", rows + [row | {"images": "8"} for row in rows if row["images"] == "2"])
    drawing = figures.few_images(Results(settings, results))
    assert drawing is not None
    ticks = [[text.get_text() for text in axis.get_xticklabels()] for axis in drawing.figure.axes]
    assert ticks == [["2", "8", "all"]] * 2


def test_panels_that_compare_have_one_scale(results: Path, settings: config.Config) -> None:
    figures.use_style()
    drawing = figures.recovery(Results(settings, results))
    first, *others = drawing.figure.axes
    assert others
    assert all(axis.get_xlim() == first.get_xlim() for axis in others)
    assert "n = 5" in first.get_title()


def test_no_boxes_are_drawn_where_pictures_are_not_passed_on(results: Path, settings: config.Config) -> None:
    for path in (results / "detection").rglob("*.png"):
        path.unlink()
    assert figures.detection_boxes(Results(settings, results)) is None


def test_a_colour_follows_from_the_name() -> None:
    assert look("qdr@weight=4") == look("qdr") == LOOKS["qdr"]
    assert look("a-method-of-mine") == look("a-method-of-mine") != look("another-one")
    assert len({marker for _, marker in LOOKS.values()}) > 10, "lines can be told apart in grey"
