"""From images to a set: the mean of the images' values, or one value of all their pixels.

qdr takes the mean over images (`per_image`), as papers do: an image counts once, whatever its size, and its value does
not depend on what else is in the set. A metric object that is fed batch by batch and asked at the end pools the squared
error instead (`pooled`): torchmetrics' PeakSignalNoiseRatio with its default `dim=None` does. By Jensen's inequality that
is never more than the mean, for images of one size, and the gap grows with the spread of the set; averaged over batches
it depends on the batch size as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def per_image(values: Sequence[float]) -> float:
    """The mean of one value per image: PSNR in dB, or SSIM.

    >>> per_image([30.0, 20.0])
    25.0
    """
    return math.fsum(values) / len(values)


def pooled(decibels: Sequence[float], pixels: Sequence[int]) -> float:
    """PSNR of the squared error over all pixels of a set, from each image's PSNR in dB and number of pixels.

    >>> round(pooled([30.0, 20.0], [4096, 4096]), 4)
    22.5964
    >>> round(pooled([30.0, 20.0], [8192, 4096]), 4)
    23.9794
    """
    errors = [count * 10 ** (-value / 10) for value, count in zip(decibels, pixels, strict=True)]
    return -10 * math.log10(math.fsum(errors) / sum(pixels))
