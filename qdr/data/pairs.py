"""Pairs of images, matched by file stem; nothing is paired by luck.

A folder of pairs holds `input/` and `target/`. An image without a partner, two with one stem, two sizes in a pair and a
file that cannot be decoded are errors that name the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from qdr.errors import QdrError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


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
    """An image as RGB uint8 [h, w, 3].

    Raises:
        QdrError: when it is missing, truncated or not an image.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise QdrError(f"{path} does not exist") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise QdrError(f"{path} cannot be read as an image ({error}): fetch or make it again") from error


def read_pair(name: str, degraded: Path, target: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both images of a pair, of equal size."""
    images = read_image(degraded), read_image(target)
    if images[0].shape != images[1].shape:
        sizes = " and ".join("x".join(map(str, image.shape[1::-1])) for image in images)
        raise QdrError(f"pair {name!r} has two sizes, {sizes}: {degraded} and {target}")
    return images
