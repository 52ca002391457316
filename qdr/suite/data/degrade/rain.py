"""Rain: bright streaks of falling drops, several distances at once, and a thin veil of those too far to see.

A drop in motion during the exposure leaves a bright streak that does not darken what is behind (Garg and Nayar 2007,
Int. J. Computer Vision 75). Streaks are sparse random points, blurred along the direction of fall; three layers from
near (long, wide, few) to far (short, thin, many) share that direction up to a few degrees, and are composed by screening,
I = 1 - (1 - J)(1 - R), as a sum that cannot exceed white (heavy-rain composition after Yang et al. 2017, arXiv
1609.07769). The truth map is the rain layer R.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from qdr.suite.data.texture import Field, turned

LAYERS = ((0.0011, 26, 1.1), (0.004, 15, 0.8), (0.011, 8, 0.6))  # density, length and width of streaks in pixels
TILT = 25.0  # degrees from the vertical, at most
STRENGTH = (0.5, 0.95)
VEIL = (0.02, 0.12)


def streaks(rng: np.random.Generator, height: int, width: int, angle: float) -> Field:
    """The rain layer without veil, [h, w] in [0, 1]; `angle` in degrees from the vertical."""
    side = math.ceil(math.hypot(height, width)) + 8
    total = np.zeros((height, width), np.float32)
    for density, length, spread in LAYERS:
        drops = (rng.random((side, side)) < density * rng.uniform(0.6, 1.4)) * rng.uniform(0.4, 1.0, (side, side))
        fallen = gaussian_filter1d(drops.astype(np.float32), length / 2.5, axis=0) * length
        fallen = gaussian_filter(fallen, (0, spread / 2)) * spread
        total += turned(fallen, angle + rng.normal(0, 2), height, width)
    return np.clip(total, 0, 1)


def add_rain(rng: np.random.Generator, clean: Field, depth: Field | None) -> tuple[Field, Field]:
    """Rainy image and rain layer."""
    height, width = clean.shape[:2]
    rain = streaks(rng, height, width, rng.uniform(-TILT, TILT)) * np.float32(rng.uniform(*STRENGTH))
    rain = np.clip(rain + np.float32(rng.uniform(*VEIL)), 0, 1)
    return 1 - (1 - clean) * (1 - rain[..., None]), rain
