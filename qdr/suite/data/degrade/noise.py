"""Noise of a sensor: signal-dependent shot noise and constant read noise (Foi et al. 2008, IEEE TIP 17(10)).

    y = x + sqrt(a x + b**2) n,      n ~ N(0, 1) per pixel and channel

the Gaussian form of the Poisson-Gaussian model, with a the gain and b the read noise, both in units of white = 1. The
truth map is the noise's standard deviation, scaled so that 0.25 is 1.
"""

from __future__ import annotations

import numpy as np

from qdr.suite.data.texture import Field

GAIN = (0.004, 0.02)
READ_NOISE = (0.02, 0.06)
FULL_SCALE = 0.25


def deviation(signal: Field, gain: float, read: float) -> Field:
    """Standard deviation of the noise at each value of the signal.

    >>> deviation(np.array([0.0, 1.0], np.float32), 0.0144, 0.05).round(3).tolist()
    [0.05000000074505806, 0.12999999523162842]
    """
    return np.asarray(np.sqrt(gain * signal + read**2), np.float32)


def add_noise(rng: np.random.Generator, clean: Field, depth: Field | None) -> tuple[Field, Field]:
    """Noisy image and the map of its standard deviation."""
    sigma = deviation(clean, rng.uniform(*GAIN), rng.uniform(*READ_NOISE))
    noisy = clean + sigma * rng.normal(size=clean.shape).astype(np.float32)
    return noisy, np.clip(sigma.mean(axis=2) / FULL_SCALE, 0, 1)


def add_gaussian(rng: np.random.Generator, clean: Field, depth: Field | None, sigma: float) -> tuple[Field, Field]:
    """White Gaussian noise of one level, white = 1: the field's synthetic test (sigma 25 of 255)."""
    noisy = clean + np.float32(sigma) * rng.normal(size=clean.shape).astype(np.float32)
    return noisy, np.full(clean.shape[:2], sigma / FULL_SCALE, np.float32)
