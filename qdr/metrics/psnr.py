"""Peak signal-to-noise ratio, in dB: 10 log10(255**2 / MSE)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qdr.metrics.protocol import Protocol, compared

CEILING = 100.0


def psnr(restored: NDArray[np.uint8], target: NDArray[np.uint8], rule: Protocol) -> float:
    """PSNR of two 8-bit RGB images [h, w, 3] under a protocol; equal images score 100 dB, so that means stay finite.

    >>> from qdr.metrics.protocol import protocol
    >>> a = np.zeros((4, 4, 3), np.uint8)
    >>> round(psnr(a + np.uint8(10), a, protocol("rgb-full")), 4)
    28.1308
    """
    error = float(np.mean((compared(restored, rule) - compared(target, rule)) ** 2))
    return min(CEILING, 10 * math.log10(255**2 / error)) if error > 0 else CEILING
