"""Random fields and colours that scenes and degradations are made of.

A field whose amplitude spectrum falls as 1/f**slope looks like film grain at slope 0.5, like stone or bark at 1, like
clouds at 1.5 to 2. Natural images themselves fall at about 1 (Field 1987, J. Opt. Soc. Am. A 4(12); Ruderman 1997).
"""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

Field = NDArray[np.floating[Any]]
_HUES = (0.02, 0.08, 0.12, 0.30, 0.58)  # skin and brick, wood, sand, leaves, sky


def spectral_noise(rng: np.random.Generator, height: int, width: int, slope: float) -> Field:
    """A periodic random field with amplitude spectrum 1/f**slope, zero mean and unit variance, [h, w]."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    spectrum = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
    spectrum /= frequency**slope
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, (height, width))
    return np.asarray(field / field.std(), np.float32)


def turned(field: Field, degrees: float, height: int, width: int) -> Field:
    """The middle [height, width] of a square field turned about its centre, bilinear: `scipy.ndimage.rotate`, cropped."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    centre = (len(field) - 1) / 2
    corner = np.array([(len(field) - height) // 2, (len(field) - width) // 2])
    return np.asarray(affine_transform(field, matrix, centre - matrix @ (centre - corner), (height, width), order=1))


def natural_color(rng: np.random.Generator) -> Field:
    """An RGB colour in [0, 1]: hues of natural materials, mostly muted, any brightness."""
    hue = (rng.choice(_HUES) + rng.normal(0, 0.06)) % 1.0
    saturation, value = rng.beta(1.3, 2.6), 0.03 + 0.95 * rng.beta(1.2, 1.1)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)
