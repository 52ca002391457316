"""What is thin about calibration images: too few, too small, the same again, black, or with bars that a film has.

A scale is measured on what the images hold. Bars of a film are black in every image and count as content; of images that
are there twice the second measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qdr.doctor.finding import Finding
from qdr.errors import QdrError
from qdr.images.pairs import images_in, read_image

Pixels = NDArray[np.uint8]
FEWEST, SMALLEST = 8, 64
_BLACK = 12  # grey levels up to which a pixel is black
_FLAT = 2
_BAR = 0.04  # of the height or width, on both sides
_THUMB, _SAME = 16, 1.0  # images whose thumbnails differ by no more grey levels are the same
_SHOWN = 3


def thin(folder: Path) -> tuple[list[Finding], list[Pixels]]:
    """The findings on a folder of images, and those that could be read, RGB uint8 [h, w, 3].

    Raises:
        QdrError: when there is no folder, or nothing in it can be read.
    """
    damaged, names, images = [], [], []
    for path in images_in(folder).values():
        try:
            images.append(read_image(path))
            names.append(path.name)
        except QdrError:
            damaged.append(path.name)
    if not images:
        raise QdrError(f"{folder} holds no image that can be read: name a folder of pictures as the model will see them")
    found = [
        _finding("unreadable", damaged, "cannot be read as RGB of 8 bits: replace or convert them"),
        _few(len(images)),
        _finding("small", _where(names, images, _is_small), f"have a side below {SMALLEST} pixels: take larger images"),
        _finding("twice", _twice(names, images), "are there already: take other scenes"),
        _finding("black", _where(names, images, _is_black), "are black: nothing is measured on them, take them out"),
        _finding("flat", _where(names, images, _is_flat), "are of one colour: nothing is measured on them, take them out"),
        _finding("bars", _where(names, images, _has_bars), "have black bars of a film: crop them, as the model will see it"),
    ]
    return [finding for finding in found if finding is not None], images


def _few(count: int) -> Finding | None:
    if count >= FEWEST:
        return None
    return Finding(
        "thin", "few", f"{count} image{'s' * (count > 1)} to calibrate on: take at least {FEWEST}, of unlike scenes"
    )


def _finding(code: str, names: list[str], text: str) -> Finding | None:
    if not names:
        return None
    listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return Finding("thin", code, f"{listed} {text}")


def _where(names: list[str], images: list[Pixels], holds: Callable[[Pixels], bool]) -> list[str]:
    return [name for name, image in zip(names, images, strict=True) if holds(image)]


def _is_small(image: Pixels) -> bool:
    return bool(min(image.shape[:2]) < SMALLEST)


def _is_black(image: Pixels) -> bool:
    return int(image.max()) <= _BLACK


def _is_flat(image: Pixels) -> bool:
    return not _is_black(image) and int(np.ptp(image.reshape(-1, 3), axis=0).max()) <= _FLAT


def _has_bars(image: Pixels) -> bool:
    """Whether black rows, or columns, frame an image on both sides."""
    if _is_black(image):
        return False
    grey = image.max(axis=2)
    for axis in (1, 0):
        dark = grey.max(axis=axis) <= _BLACK
        first, last = int(np.argmin(dark)), int(np.argmin(dark[::-1]))
        if min(first, last) >= max(2, _BAR * len(dark)):
            return True
    return False


def _twice(names: list[str], images: list[Pixels]) -> list[str]:
    """Images that look like an earlier one."""
    thumbs: list[NDArray[np.float64]] = []
    found = []
    for name, image in zip(names, images, strict=True):
        small = np.asarray(Image.fromarray(image).convert("L").resize((_THUMB, _THUMB), Image.Resampling.BOX), np.float64)
        if any(np.abs(small - other).mean() <= _SAME for other in thumbs):
            found.append(name)
        else:
            thumbs.append(small)
    return found
