"""The train split of a task is made of all its sources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdr.errors import QdrError
from qdr.images.pairs import match, read_image
from qdr.suite import config, paths
from qdr.suite.data.prepare import prepare


def images(folder: Path, *names: str, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (32, 48, 3), np.uint8)).save(folder / f"{name}.png")


@pytest.fixture
def several(settings: config.Config) -> config.Config:
    """Two sources of clean images that share names, one of pairs, and scenes; every second image is held out."""
    for split in ("train", "val", "heldout"):
        images(paths.scenes(split), "0000", seed=1)
    for i, source in enumerate(("bsds200", "cc0-train", "photos")):
        images(paths.raw(source), "a", "b", "c", "d", seed=2 + i)
    for side in ("input", "target"):
        images(paths.raw("sice-train") / side, "a", "b", seed=5)
    sources = ["bsds200", "cc0-train", "sice-train", "scenes"]
    data = replace(settings.data, train=settings.data.train | {"derain": sources}, holdout=2, copies=1)
    return replace(settings, data=data)


def names(split: str) -> list[str]:
    return [name for name, _, _ in match(paths.prepared("derain", split))]


def test_sources_together(several: config.Config) -> None:
    prepare(several, "derain")
    assert names("train") == ["0000", "bsds200-b", "bsds200-d", "cc0-train-b", "cc0-train-d", "sice-train-b"]
    assert names("val") == ["0000", "bsds200-a", "bsds200-c", "cc0-train-a", "cc0-train-c", "sice-train-a"]
    train = paths.prepared("derain", "train")
    stored = read_image(train / "input" / "sice-train-b.png")
    assert np.array_equal(stored, read_image(paths.raw("sice-train") / "input" / "b.png")), "pairs are kept"
    clean = [read_image(train / side / "bsds200-b.png") for side in ("input", "target")]
    assert not np.array_equal(*clean), "clean images are degraded"


def test_a_source_alone_gives_the_same_pixels_under_plain_names(several: config.Config) -> None:
    prepare(several, "derain")
    together = read_image(paths.prepared("derain", "train") / "input" / "cc0-train-b.png")
    prepare(replace(several, data=replace(several.data, train={"derain": ["cc0-train"]})), "derain")
    assert names("train") == ["b", "d"]
    assert np.array_equal(read_image(paths.prepared("derain", "train") / "input" / "b.png"), together)


def test_two_images_of_one_name_are_refused(several: config.Config) -> None:
    images(paths.raw("cc0-val"), "0000", "0001", seed=7)
    data = replace(several.data, train={"derain": ["cc0-val", "scenes"]}, holdout=0)
    with pytest.raises(QdrError, match="derain/train: two images would be named '0000'"):
        prepare(replace(several, data=data), "derain")


def test_what_is_not_for_training_is_refused(several: config.Config) -> None:
    data = replace(several.data, train={"derain": ["bsds200", "rain100h-train18"]})
    with pytest.raises(QdrError, match="source 'rain100h-train18' is for calibration: train on another one"):
        prepare(replace(several, data=data), "derain")


def test_every_source_is_checked_for_leaks(several: config.Config) -> None:
    (paths.raw("cc0-train") / "d.png").write_bytes((paths.raw("photos") / "c.png").read_bytes())
    with pytest.raises(QdrError, match=r"photos/c is cc0-train/d \(0 of 256 bits\)"):
        prepare(several, "derain")
