from __future__ import annotations

from pathlib import Path

import numpy as np

from qdr.suite.data.loader import PairSet
from qdr.suite.train.run import _calibration


def shown(sides: list[tuple[int, int]]) -> PairSet:
    """Images whose red is the row and whose green is the column of a pixel, blue the image."""
    images = []
    for i, (height, width) in enumerate(sides):
        y, x = np.mgrid[:height, :width]
        images.append(np.stack([y, x, np.full_like(x, i)], axis=2).astype(np.uint8))
    return PairSet(Path(), [str(i) for i in range(len(sides))], images, images)


def test_calibration_sees_random_crops_of_random_images() -> None:
    data = shown([(200, 250)] * 20)
    crops = _calibration(data, 8)
    assert all(crop.shape == (1, 3, 128, 128) for crop in crops)
    corners = [tuple(round(float(v) * 255) for v in crop[0, :, 0, 0]) for crop in crops]
    images = [blue for *_, blue in corners]
    assert len(set(images)) == 8
    assert images != list(range(8))
    assert len({(y, x) for y, x, _ in corners}) == 8
    assert all(a.equal(b) for a, b in zip(crops, _calibration(data, 8), strict=True))


def test_crops_of_small_images_fit_every_network() -> None:
    sides = [tuple(crop.shape[2:]) for crop in _calibration(shown([(90, 200), (33, 127), (20, 40)]), 16)]
    assert sides == [(64, 128), (32, 96), (32, 32)]
