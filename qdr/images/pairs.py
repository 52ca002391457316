"""Pairs of images, matched by file stem; nothing is paired by luck.

A folder of pairs holds `input/` and `target/`. An image without a partner, two with one stem, two sizes in a pair and a
file that cannot be decoded are errors that name the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdr.errors import QdrError
from qdr.images import decode

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


def images_in(folder: Path) -> dict[str, Path]:
    """The images of a folder by stem, sorted; `*.depth.png` are not images.

    Raises:
        QdrError: when the folder is missing or two images share a stem.
    """
    if not folder.is_dir():
        raise QdrError(f"{folder} is no folder: check the name, or run `dvc repro` to make it")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.endswith(".depth.png"):
            continue
        if path.stem in found:
            raise QdrError(f"{found[path.stem].name} and {path.name} in {folder} have the same stem: rename one")
        found[path.stem] = path
    return found


def with_targets(images: Path, targets: Path | None) -> tuple[dict[str, Path], dict[str, Path]]:
    """The images of a folder by stem, and their targets in another; without one they stand for themselves.

    Raises:
        QdrError: when there is no image, or an image has no target.
    """
    found = images_in(images)
    if not found:
        raise QdrError(f"{images} holds no images ({', '.join(sorted(SUFFIXES))})")
    clean = found if targets is None else images_in(targets)
    missing = [name for name in found if name not in clean]
    if missing:
        raise QdrError(f"{targets} has no target for {missing[0]!r} ({len(missing)} are missing): name them alike")
    return found, clean


def match(folder: Path) -> list[tuple[str, Path, Path]]:
    """Name, input and target of every pair below `folder`, sorted by name.

    Raises:
        QdrError: when an image has no partner or there are no pairs.
    """
    inputs, targets = images_in(folder / "input"), images_in(folder / "target")
    orphans = sorted(inputs.keys() ^ targets.keys())
    if orphans:
        side = "target" if orphans[0] in inputs else "input"
        raise QdrError(f"{folder}: {orphans[0]!r} has no {side} ({len(orphans)} without a partner): pair by file stem")
    if not inputs:
        raise QdrError(f"{folder}/input holds no images")
    return [(name, inputs[name], targets[name]) for name in inputs]


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image as upright RGB uint8 [h, w, 3].

    Raises:
        QdrError: when it is missing, truncated, not an image, too large, or holds what 8-bit RGB cannot.
    """
    with decode.decoding(path, "an image", _REMEDY):
        return decode.rgb(path)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """A map as grey uint8 [h, w]; errors as of `read_image`."""
    with decode.decoding(path, "an image", _REMEDY):
        return decode.grey(path)


def read_depth(path: Path) -> NDArray[np.float32]:
    """A depth map, a grey PNG of 16 bits, as float [h, w] in [0, 1]; errors as of `read_image`."""
    with decode.decoding(path, "a depth map", _REMEDY):
        return np.asarray(decode.sixteen(path), np.float32) / np.float32(65535)


_REMEDY = "fetch or make it again"


def read_pair(name: str, degraded: Path, target: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both images of a pair, of equal size."""
    images = read_image(degraded), read_image(target)
    if images[0].shape != images[1].shape:
        sizes = " and ".join("x".join(map(str, image.shape[1::-1])) for image in images)
        raise QdrError(f"pair {name!r} has two sizes, {sizes}: {degraded} and {target}")
    return images
