"""A folder of images: crops to calibrate and train on, and others, held back, to judge by.

Every fourth image is held back (the only one serves for both). All crops have one side, a multiple of 64 of at most 256, so
that they fit networks that halve the resolution up to six times and files of one size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qdr.errors import QdrError
from qdr.images import decode
from qdr.images.pairs import with_targets
from qdr.images.tensor import to_tensor
from qdr.seed import derive

GRAIN, LARGEST = 64, 256
HELD_BACK, CALIBRATION = 8, 32  # images at most
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Frames:
    """Images as the network takes them, uint8 [h, w, c].

    Args:
        training: whole images.
        held: crops [side, side, c] of the images that are held back.
        targets: clean crops of the same places, or none.
        side: of the crops.
        alone: whether there was one image only, which is trained on and judged by.
        fixed: whether the network takes this side only.
    """

    training: list[Pixels]
    held: list[Pixels]
    targets: list[Pixels]
    side: int
    alone: bool
    fixed: bool = False

    def calibration(self) -> list[Tensor]:
        """A random crop of each of up to 32 training images, [1, c, side, side] in [0, 1]."""
        rng = np.random.default_rng(derive("calibration"))
        chosen = sorted(rng.permutation(len(self.training))[:CALIBRATION])
        return [to_tensor(_crop(self.training[i], self.side, rng)) for i in chosen]

    def batch(self, step: int, size: int, side: int) -> Tensor:
        """Random patches of a step, mirrored and turned, [size, c, side, side] in [0, 1]."""
        rng = np.random.default_rng((derive("patches"), step))
        patches = []
        for _ in range(size):
            patch = np.rot90(_crop(self.training[rng.integers(len(self.training))], side, rng), int(rng.integers(4)))
            patches.append(patch[:, ::-1] if rng.integers(2) else patch)
        return torch.cat([to_tensor(patch) for patch in patches])


def read_frames(folder: Path, targets: Path | None, channels: int, only: int | None = None) -> Frames:
    """Read a folder, as RGB or, for a network of one channel, as grey; `only` is the one side that a network takes.

    Raises:
        QdrError: when there is no image, one is too small or cannot be read whole, or a target is missing.
    """
    if channels not in (1, 3):
        raise QdrError(f"the network takes {channels} channels, which no image file holds: use the library (`qdr.quantize`)")
    found, clean = with_targets(folder, targets)
    names = list(found)
    held = names[:: max(4, -(-len(names) // HELD_BACK))]
    images = {name: _read(found[name], channels) for name in names}
    least = min(min(image.shape[:2]) for image in images.values())
    if least < (only or GRAIN):
        small = next(name for name, image in images.items() if min(image.shape[:2]) == least)
        raise QdrError(f"{found[small]} is smaller than {only or GRAIN} pixels: take larger images")
    side = only or min(LARGEST, least // GRAIN * GRAIN)
    answers = [_middle(_read(clean[name], channels), side) for name in held if targets is not None]
    training = [image for name, image in images.items() if name not in held] or list(images.values())
    return Frames(training, [_middle(images[name], side) for name in held], answers, side, len(names) == 1, bool(only))


def _read(path: Path, channels: int) -> Pixels:
    with decode.decoding(path, "an image", "replace it"):
        return decode.rgb(path) if channels == 3 else decode.grey(path)[..., None]


def _crop(image: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    y, x = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
    return image[y : y + side, x : x + side]


def _middle(image: Pixels, side: int) -> Pixels:
    y, x = ((length - side) // 2 for length in image.shape[:2])
    return np.ascontiguousarray(image[y : y + side, x : x + side])
