"""Low light: fewer photons, the same camera.

The image is linearized (inverse sRGB curve, IEC 61966-2-1), its exposure cut to 6 to 20 %, and read out by a sensor:
Poisson shot noise of the photons that are left and Gaussian read noise (Foi et al. 2008, IEEE Trans. Image Processing
17(10); Wei et al. 2020, arXiv 2003.12751). The camera encodes it with the sRGB curve and 8 bits. The truth map is the
darkness that the cut exposure causes.
"""

from __future__ import annotations

import numpy as np

from qdr.suite.data.texture import Field

EXPOSURE = (0.06, 0.20)
FULL_WELL = (1500.0, 6000.0)  # photo-electrons at white: signal-to-noise of a small sensor
READ_NOISE = (1.0, 4.0)  # electrons


def linearize(encoded: Field) -> Field:
    """sRGB to linear light, both in [0, 1]."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)


def encode(linear: Field) -> Field:
    """Linear light to sRGB, both in [0, 1]."""
    bounded = np.clip(linear, 0, 1)
    low, high = bounded * 12.92, 1.055 * np.maximum(bounded, 1e-8) ** (1 / 2.4) - 0.055
    return np.where(bounded <= 0.0031308, low, high).astype(np.float32)


def darken(rng: np.random.Generator, clean: Field, depth: Field | None) -> tuple[Field, Field]:
    """Low-light image and darkness map."""
    exposure, well, read = rng.uniform(*EXPOSURE), rng.uniform(*FULL_WELL), rng.uniform(*READ_NOISE)
    expected = linearize(clean) * exposure * well
    electrons = rng.poisson(expected) + rng.normal(0, read, clean.shape)
    dark = encode((electrons / well).astype(np.float32))
    return dark, np.clip((clean - encode(linearize(clean) * np.float32(exposure))).mean(axis=2), 0, 1)
