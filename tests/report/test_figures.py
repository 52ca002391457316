from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from qdr.suite import config
from qdr.suite.report import figures
from qdr.suite.report.figures.detection import detection_boxes

QUALITY = ("recovery", "before-after-lowlight", "before-after-derain", "ldg-gates", "sensitivity", "few-images")
QUALITY += ("detection", "detection-boxes")

GROWTH = ("tug-of-war", "error-growth")


@pytest.mark.slow
def test_every_figure_twice_with_the_same_bytes(results: Path, settings: config.Config, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        figures.write_quality(settings, results, tmp_path / folder)
        figures.write_speed(settings, results, tmp_path / folder)
    expected = {f"quality/{name}.{kind}" for name in QUALITY for kind in ("png", "pdf")}
    expected |= {f"quality/{name}-{bits}.{kind}" for name in GROWTH for bits in ("W8A8", "W4A4") for kind in ("png", "pdf")}
    drawn = ("quality-latency", "roofline", "jetson-prediction")
    expected |= {f"speed/{name}.{kind}" for name in drawn for kind in ("png", "pdf")}
    found = {path.relative_to(tmp_path / "first").as_posix() for path in (tmp_path / "first").rglob("*.p*")}
    assert found == expected
    for name in expected:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
        if name.endswith("png"):
            with Image.open(tmp_path / "first" / name) as image:
                assert image.width > 400
                assert len(image.convert("L").getcolors() or range(257)) > 20, "an empty picture"


def test_no_boxes_are_drawn_where_pictures_are_not_passed_on(results: Path) -> None:
    for path in (results / "detection").rglob("*.png"):
        path.unlink()
    assert detection_boxes(results / "detection", ["lowlight", "derain"]) is None
