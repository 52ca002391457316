"""Images to calibrate with: are they what a network takes, and can anything be measured on them?

Every way to a quantized model goes through `checked` (`qdr.quant.prepare.calibrate` calls it), so that values of 0 to 255,
NaN, a wrong layout and folders of black pictures are found before anything is trained or exported.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from qdr.errors import QdrError

GRAIN = 32  # pixels: sides of which every network here takes multiples
_SLACK = 1e-3  # how far values may lie outside [0, 1]
_FLAT = 2 / 255  # the range of values up to which an image shows nothing


def checked(images: Iterable[Tensor]) -> list[Tensor]:
    """The images, float [n, c, h, w] in [0, 1], with sides that every network takes (`fitted`).

    Raises:
        QdrError: when there are none, one has another shape, type or range, or all are of one colour.
    """
    found = list(images)
    if not found:
        raise QdrError("no images to calibrate with: name some, as the model will see them")
    for number, image in enumerate(found):
        _check(image, f"calibration image {number}")
    if all(float((image.amax((2, 3)) - image.amin((2, 3))).max()) <= _FLAT for image in found):
        raise QdrError(f"all {len(found)} calibration images are of one colour: name pictures as the model will see them")
    return [fitted(image) for image in found]


def fitted(image: Tensor) -> Tensor:
    """The image cut at its lower and right border to multiples of `GRAIN`, or extended to it by its edge.

    >>> fitted(torch.zeros(1, 3, 333, 20)).shape
    torch.Size([1, 3, 320, 32])
    """
    height, width = image.shape[2:]
    below, beside = max(GRAIN - height, 0), max(GRAIN - width, 0)
    if below or beside:
        image = F.pad(image, (0, beside, 0, below), mode="replicate")
    return image[:, :, : image.shape[2] // GRAIN * GRAIN, : image.shape[3] // GRAIN * GRAIN]


def _check(image: Tensor, name: str) -> None:
    if image.dim() != 4 or not image.numel():
        raise QdrError(f"{name} has shape {list(image.shape)}: [n, c, h, w] is needed")
    if not image.is_floating_point():
        raise QdrError(f"{name} is of {image.dtype}: floats in [0, 1] are needed, divide by 255")
    low, high = (float(value) for value in image.aminmax())
    if not (torch.isfinite(image).all()):
        raise QdrError(f"{name} holds values that are no numbers: make it again")
    if low < -_SLACK or high > 1 + _SLACK:
        raise QdrError(f"{name} has values from {low:.3g} to {high:.3g}: [0, 1] is needed, divide by 255 or rescale")
