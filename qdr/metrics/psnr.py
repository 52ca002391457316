"""Peak signal-to-noise ratio, in dB: 10 log10(255**2 / MSE).

The mean is over every pixel and channel that the protocol looks at; the peak is 255 also for limited-range luma, which
never exceeds 235. Equal to scikit-image's peak_signal_noise_ratio with data_range 255 on what the protocol looks at.
"""

from __future__ import annotations

import math

import numpy as np

from qdr.metrics.protocol import Image, Protocol, both

CEILING = 100.0


def psnr(restored: Image, target: Image, rule: Protocol) -> float:
    """PSNR of two 8-bit RGB images [h, w, 3] under a protocol; equal images score 100 dB, so that means stay finite.

    >>> from qdr.metrics.protocol import protocol
    >>> a = np.zeros((4, 4, 3), np.uint8)
    >>> round(psnr(a + np.uint8(10), a, protocol("rgb-full")), 4)
    28.1308
    >>> round(psnr(a + np.uint8(10), a, protocol("y-limited")), 4)
    29.4527
    """
    x, y = both(restored, target, rule)
    error = float(np.mean((x - y) ** 2))
    return min(CEILING, 10 * math.log10(255**2 / error)) if error > 0 else CEILING
