"""Heavy rain after Rain100H (Yang et al. 2017, arXiv 1609.07769): dense bright streaks, added and clipped.

    I = min(1, J + R),      R grey, the sum of one or two layers of streaks

FACT (that paper): the set is synthesized with streaks of five directions, several of which overlap. READING (ours): a layer
is sparse noise blurred along the direction of fall, stretched until its brightest hundredth reaches the layer's strength;
directions lie within 30 degrees of the vertical, lengths between 15 and 60 pixels. The truth map is R.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from qdr.suite.data.texture import Field, turned

DIRECTIONS = (-24.0, -12.0, 0.0, 12.0, 24.0)  # degrees from the vertical, each give or take SPREAD
SPREAD = 6.0
LENGTH = (15, 60)  # pixels
STRENGTH = (0.3, 0.95)  # of the brightest streaks, white = 1


def layer(rng: np.random.Generator, height: int, width: int, angle: float) -> Field:
    """Streaks of one direction, [h, w], 0 to about the strength."""
    side = math.ceil(math.hypot(height, width)) + 8
    drops = (rng.random((side, side)) < rng.uniform(0.01, 0.06)) * rng.uniform(0.3, 1.0, (side, side))
    fallen = uniform_filter1d(drops.astype(np.float32), int(rng.integers(*LENGTH)), axis=0, mode="wrap")
    fallen = gaussian_filter1d(fallen, rng.uniform(0.3, 0.9), axis=1, mode="wrap")
    cut = turned(fallen, angle, height, width)
    floor, bright = np.quantile(cut, [rng.uniform(0.0, 0.4), 0.99])
    return np.asarray(np.clip((cut - floor) / max(bright - floor, 1e-6), 0, 1.3) * rng.uniform(*STRENGTH), np.float32)


def add_heavy_rain(rng: np.random.Generator, clean: Field, depth: Field | None) -> tuple[Field, Field]:
    """Rainy image and rain layer."""
    height, width = clean.shape[:2]
    angles = [rng.choice(DIRECTIONS) + rng.uniform(-SPREAD, SPREAD)]
    if rng.random() < 0.3:
        angles.append(rng.choice(DIRECTIONS) + rng.uniform(-SPREAD, SPREAD))
    rain = sum(layer(rng, height, width, float(angle)) for angle in angles)
    rain = np.minimum(np.asarray(rain), 1)
    return np.minimum(clean + rain[..., None], 1), rain
