"""Haze: light scattered into and out of the line of sight (Koschmieder 1924; He, Sun and Tang 2011, IEEE TPAMI 33(12)).

    I = J t + A (1 - t),      t = exp(-beta d)

J is the clear image, d the depth, beta the scattering coefficient, A the airlight; the ranges follow RESIDE (Li et al.
2019, arXiv 1712.04143). The truth map is 1 - t. An image without a depth map gets an invented one: a plane that
recedes upwards with smooth relief, so that haze is thick far up and thin close by.
"""

from __future__ import annotations

import numpy as np

from qdr.data.texture import Field, spectral_noise

BETA = (0.8, 2.0)
AIRLIGHT = (0.75, 1.0)
TINT = 0.02


def transmission(depth: Field, beta: float) -> Field:
    """The fraction of light that arrives, in (0, 1].

    >>> float(transmission(np.zeros(1, np.float32), 2.0)[0])
    1.0
    """
    return np.asarray(np.exp(-beta * depth), np.float32)


def invent_depth(rng: np.random.Generator, height: int, width: int) -> Field:
    """A receding plane with smooth relief, [h, w] in [0, 1], 0 near."""
    plane = np.linspace(1.0, rng.uniform(0.1, 0.4), height, dtype=np.float32)[:, None]
    return np.clip(plane + 0.15 * spectral_noise(rng, height, width, 2.0), 0, 1).astype(np.float32)


def add_haze(rng: np.random.Generator, clean: Field, depth: Field | None) -> tuple[Field, Field]:
    """Hazy image and 1 - t."""
    if depth is None:
        depth = invent_depth(rng, *clean.shape[:2])
    t = transmission(depth, rng.uniform(*BETA))
    airlight = np.float32(rng.uniform(*AIRLIGHT)) + rng.normal(0, TINT, 3).astype(np.float32)
    hazy = clean * t[..., None] + np.clip(airlight, 0, 1) * (1 - t[..., None])
    return hazy, 1 - t
