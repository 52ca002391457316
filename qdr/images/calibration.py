"""Images to calibrate with: are they what a network takes, and can anything be measured on them?

Nothing can on no images, on values that are no numbers and on pictures of one colour: `measurable`, which
`qdr.quant.prepare.calibrate` asks of whatever network. The networks of this package also take [0, 1] and sides that are
multiples of 32: `checked`, for whoever reads images for them. Both speak before anything is trained or exported.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch.nn import functional as F

from qdr.errors import QdrError

GRAIN = 32  # pixels: sides of which every network here takes multiples
_SLACK = 1e-3  # how far values may lie outside [0, 1]
_FLAT = 2 / 255  # the range of values up to which an image shows nothing


def checked(images: Iterable[Tensor]) -> list[Tensor]:
    """The images, float [n, 3, h, w] in [0, 1], with sides that every network here takes (`fitted`).

    Raises:
        QdrError: when they are not `measurable`, or one has values that are not in [0, 1].
    """
    found = measurable(images)
    for number, image in enumerate(found):
        low, high = (float(value) for value in image.aminmax())
        if low < -_SLACK or high > 1 + _SLACK:
            raise QdrError(
                f"calibration image {number} has values from {low:.3g} to {high:.3g}: [0, 1] is needed, divide by 255"
            )
    return [fitted(image) for image in found]


def measurable(images: Iterable[Tensor]) -> list[Tensor]:
    """The images, float [n, c, h, w], on which ranges can be measured.

    Raises:
        QdrError: when there are none, one has another shape or type or holds NaN, or all are of one colour.
    """
    found = list(images)
    if not found:
        raise QdrError("no images to calibrate with: name some, as the model will see them")
    for number, image in enumerate(found):
        name = f"calibration image {number}"
        if image.dim() != 4 or not image.numel():
            raise QdrError(f"{name} has shape {list(image.shape)}: [n, c, h, w] is needed")
        if not image.is_floating_point():
            raise QdrError(f"{name} is of {image.dtype}: floats in [0, 1] are needed, divide by 255")
        if not image.isfinite().all():
            raise QdrError(f"{name} holds values that are no numbers: make it again")
    if all(float((image.amax((2, 3)) - image.amin((2, 3))).max()) <= _FLAT for image in found):
        raise QdrError(f"all {len(found)} calibration images are of one colour: name pictures as the model will see them")
    return found


def fitted(image: Tensor) -> Tensor:
    """The image cut at its lower and right border to multiples of `GRAIN`, or extended to it by its edge.

    >>> import torch
    >>> fitted(torch.zeros(1, 3, 333, 20)).shape
    torch.Size([1, 3, 320, 32])
    """
    height, width = image.shape[2:]
    below, beside = max(GRAIN - height, 0), max(GRAIN - width, 0)
    if below or beside:
        image = F.pad(image, (0, beside, 0, below), mode="replicate")
    return image[:, :, : image.shape[2] // GRAIN * GRAIN, : image.shape[3] // GRAIN * GRAIN]
