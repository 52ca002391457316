"""Structural similarity (Wang et al. 2004, IEEE Trans. Image Processing 13(4)).

Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, dynamic range 255, population statistics, the mean over
the positions where the window fits entirely, then over channels. Equal to scikit-image's structural_similarity with
gaussian_weights and without sample covariance, up to its border rule; several times faster on small images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from qdr.errors import QdrError
from qdr.metrics.protocol import Protocol, compared

RADIUS = 5
SIGMA = 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
_WINDOW /= _WINDOW.sum()


def ssim(restored: NDArray[np.uint8], target: NDArray[np.uint8], rule: Protocol) -> float:
    """SSIM of two 8-bit RGB images [h, w, 3] under a protocol, at most 1.

    >>> from qdr.metrics.protocol import protocol
    >>> a = np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3)
    >>> ssim(a, a, protocol("rgb-full"))
    1.0

    Raises:
        QdrError: when a side is shorter than the window.
    """
    if min(restored.shape[:2]) < 2 * RADIUS + 1:
        raise QdrError(f"SSIM needs sides of at least {2 * RADIUS + 1} pixels, got {restored.shape[:2]}")
    x, y = compared(restored, rule), compared(target, rule)
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return float((luminance * (2 * covariance + C2) / (var_x + var_y + C2)).mean())


def _blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean in the window, where it fits: [h, w, c] -> [h - 10, w - 10, c]."""
    rows = correlate1d(image, _WINDOW, axis=0)[RADIUS:-RADIUS]
    result: NDArray[np.float64] = correlate1d(rows, _WINDOW, axis=1)[:, RADIUS:-RADIUS]
    return result
