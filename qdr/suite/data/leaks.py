"""No test image may be in the training set, not even resized, re-encoded, cropped a little, mirrored or turned.

Public sets of this field share photographs: the clean images of Rain100H are those of BSDS500's train and val splits, and
CBSD68 is a part of its val split. Names do not show it, since copies are renamed and resized; a perceptual hash does. Each
image becomes 256 bits, the signs of the lowest 16x16 frequencies of its luma against their median (pHash, Zauner 2010, as
in the ImageHash library), and two images are the same when few bits differ. Of each test image the eight mirrored and
turned versions are hashed.

The hash and its threshold were chosen by measurement, in bits of 256 that differ. The 200 training images of BSDS500 against
343 test images (Rain100H, CBSD68, SOTS indoor, SICE, PolyU) and all eight versions of each: 88 or more; among themselves 82
or more. 374 planted copies: halved 22 at most, JPEG of quality 60 28, mirrored and JPEG 60 30, gamma 1.5 30, 2 % cut off
left and top 64, 2 % cut off all round 54, all of it and turned 64. The five photographs that CBSD68 and Rain100H do share:
4 to 6. pHash of 64 bits leaves no gap (unrelated 14, copies 14), nor does dHash (63 and 57 of 256); wHash calls unrelated
images the same (0 of 64).

Only backgrounds are compared: the targets of pairs. Not found: most crops of 5 % or more, and another photograph of the
same place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qdr.errors import QdrError
from qdr.images.pairs import images_in, read_image

SIDE = 16  # frequencies per axis
THRESHOLD = 70  # bits of 256 up to which two images are the same
_WORK = 128  # pixels: the square that is mirrored and turned
_T = Image.Transpose

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Leak:
    """A test image that is in the training set; `distance` in bits."""

    train: str
    test: str
    distance: int


def check_leaks(train: dict[str, Path], test: dict[str, Path]) -> None:
    """Compare folders of training and test images, given by source.

    Raises:
        QdrError: when a test image, or the target of a test pair, is in a training folder.
    """
    found = leaks(train, test)
    if found:
        shown = ", ".join(f"{leak.test} is {leak.train} ({leak.distance} of {SIDE * SIDE} bits)" for leak in found[:3])
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise QdrError(f"the training images hold test images: {shown}{more}: take them out, or train on another source")


def leaks(train: dict[str, Path], test: dict[str, Path]) -> list[Leak]:
    """Every test image with its nearest training image, where that is the same image."""
    known = {f"{source}/{name}": bits(_square(path)) for source, path, name in _backgrounds(train)}
    names, hashes = list(known), np.array(list(known.values()))
    found = []
    for source, path, name in _backgrounds(test) if names else ():
        turned = np.array([bits(version) for version in symmetries(_square(path))])
        distances = (hashes[:, None] != turned[None]).sum(axis=2).min(axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] <= THRESHOLD:
            found.append(Leak(names[nearest], f"{source}/{name}", int(distances[nearest])))
    return found


def bits(image: Image.Image) -> Bits:
    """The perceptual hash of an image, flat."""
    return np.asarray(imagehash.phash(image, hash_size=SIDE).hash, np.bool_).ravel()


def symmetries(image: Image.Image) -> list[Image.Image]:
    """The image turned four times, and its mirror image turned four times."""
    turns = (_T.ROTATE_90, _T.ROTATE_180, _T.ROTATE_270)
    sides = (image, image.transpose(_T.FLIP_LEFT_RIGHT))
    return [version for side in sides for version in (side, *map(side.transpose, turns))]


def _square(path: Path) -> Image.Image:
    return Image.fromarray(read_image(path)).convert("L").resize((_WORK, _WORK), Image.Resampling.LANCZOS)


def _backgrounds(sources: dict[str, Path]) -> list[tuple[str, Path, str]]:
    """Source, path and name of every clean image: the targets of pairs, all of other folders."""
    return [
        (source, path, name)
        for source, folder in sources.items()
        for name, path in images_in(folder / "target" if (folder / "target").is_dir() else folder).items()
    ]
