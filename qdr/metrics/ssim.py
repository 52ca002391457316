"""Structural similarity (Wang et al. 2004, IEEE Trans. Image Processing 13(4)).

    SSIM = (2 mx my + C1)(2 cov + C2) / ((mx**2 + my**2 + C1)(vx + vy + C2)),   C1 = 2.55**2, C2 = 7.65**2

with means, variances and covariance in a window around each position; then the mean over positions, then over channels.
A protocol names the window:

- gaussian: 11x11 with sigma 1.5, population statistics, the positions where the window fits: the authors' ssim_index.m.
- uniform: 7x7 with equal weights, sample covariance (times 49/48), the positions where it fits.
- gaussian-3d: the Gaussian along rows, columns and channels, edges repeated, every position. Differences between R, G and B
  then count as structure, so coloured pictures score higher.

Equal to scikit-image's structural_similarity on what the protocol looks at: with gaussian_weights, sigma 1.5 and without
sample covariance, and with its defaults. The windows are applied one axis after the other, several times faster. A
protocol that is `shrunk` averages blocks of round(shorter side / 256) pixels first (the authors' advice for viewing
distance); what does not fill a block is left out.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from qdr.errors import QdrError
from qdr.metrics.protocol import Image, Levels, Protocol, both

SIGMA = 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
RADIUS = {"gaussian": 5, "uniform": 3, "gaussian-3d": 5}
_WINDOW = {name: np.exp(-0.5 * (np.arange(-5, 6) / SIGMA) ** 2) for name in ("gaussian", "gaussian-3d")}
_WINDOW = {name: weights / weights.sum() for name, weights in _WINDOW.items()} | {"uniform": np.full(7, 1 / 7)}
_UNBIASED = {"gaussian": 1.0, "uniform": 49 / 48, "gaussian-3d": 1.0}


def ssim(restored: Image, target: Image, rule: Protocol) -> float:
    """SSIM of two 8-bit RGB images [h, w, 3] under a protocol, at most 1.

    >>> from qdr.metrics.protocol import protocol
    >>> a = np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3)
    >>> ssim(a, a, protocol("rgb-full"))
    1.0
    >>> flat = np.full((12, 12, 3), 100, np.uint8)
    >>> round(ssim(flat + np.uint8(10), flat, protocol("rgb-full")), 6)  # (2 100 110 + C1) / (100**2 + 110**2 + C1)
    0.995476

    Raises:
        QdrError: when a side is shorter than the window.
    """
    x, y = both(restored, target, rule)
    if rule.shrunk:
        x, y = shrink(x), shrink(y)
    side = 2 * RADIUS[rule.window] + 1
    if min(x.shape[:2]) < side:
        raise QdrError(f"SSIM under {rule.name} needs sides of at least {side} pixels, got {x.shape[:2]}")
    mean_x, mean_y, unbiased = _blur(x, rule.window), _blur(y, rule.window), _UNBIASED[rule.window]
    squares, product = mean_x**2 + mean_y**2, mean_x * mean_y
    variances = unbiased * (_blur(x * x + y * y, rule.window) - squares)  # SSIM needs only their sum
    covariance = unbiased * (_blur(x * y, rule.window) - product)
    return float(((2 * product + C1) / (squares + C1) * (2 * covariance + C2) / (variances + C2)).mean())


def shrink(levels: Levels) -> Levels:
    """Averages of blocks whose side is round(shorter side / 256), at least 1: [h, w, c] -> [h // side, w // side, c].

    >>> shrink(np.arange(512.0 * 512).reshape(512, 512, 1))[0, :3, 0]
    array([256.5, 258.5, 260.5])
    """
    side = max(1, round(min(levels.shape[:2]) / 256))
    height, width = levels.shape[0] // side, levels.shape[1] // side
    blocks = levels[: height * side, : width * side].reshape(height, side, width, side, -1)
    result: Levels = blocks.mean(axis=(1, 3))
    return result


def _blur(image: Levels, window: str) -> Levels:
    """Weighted mean in the window, where it fits: [h, w, c] -> [h - 10, w - 10, c]; "gaussian-3d" keeps the size."""
    weights, radius = _WINDOW[window], RADIUS[window]
    if window == "gaussian-3d":
        for axis in range(3):
            image = correlate1d(image, weights, axis=axis, mode="nearest")
        return image
    rows = correlate1d(image, weights, axis=0)[radius:-radius]
    result: Levels = correlate1d(rows, weights, axis=1)[:, radius:-radius]
    return result
