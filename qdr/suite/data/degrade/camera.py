"""Noise as it leaves a camera: shot and read noise smeared by demosaicking and compression; or white noise of any level.

What the sensor collects is white (`qdr.suite.data.degrade.noise`), what the camera stores is not: demosaicking interpolates
it, tone mapping bends it, JPEG rounds it (Guo et al. 2019, CBDNet, arXiv 1807.04686). Half of the images get such noise:
white noise of a standard deviation of 1 to 16 levels, partly common to the channels, blurred by up to one pixel and saved as
JPEG. The others get white noise of 2 to 40 levels, as in the synthetic tests, so that one blind model learns both. The
truth map is the standard deviation, scaled so that 0.25 is 1.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from qdr.suite.data.degrade.noise import FULL_SCALE, add_gaussian
from qdr.suite.data.texture import Field

WHITE = (2 / 255, 40 / 255)
CAMERA = (1 / 255, 16 / 255)
QUALITY = (75, 99)  # of the JPEG file


def add_camera_noise(rng: np.random.Generator, clean: Field, depth: Field | None) -> tuple[Field, Field]:
    """Noisy image and the map of its standard deviation."""
    if rng.random() < 0.5:
        return add_gaussian(rng, clean, depth, rng.uniform(*WHITE))
    level = rng.uniform(*CAMERA) * np.sqrt(0.4 + 0.6 * clean.mean(axis=2, keepdims=True))
    noisy = clean + level * _smeared(rng, clean.shape)
    return _stored(noisy, int(rng.integers(*QUALITY))), np.clip(level[..., 0] / FULL_SCALE, 0, 1)


def _smeared(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    """Unit-variance noise, correlated between neighbours and between channels, [h, w, 3]."""
    common = rng.uniform(0.3, 0.9)
    white = np.sqrt(common) * rng.normal(size=(*shape[:2], 1)) + np.sqrt(1 - common) * rng.normal(size=shape)
    blurred = gaussian_filter(white.astype(np.float32), (width := rng.uniform(0.35, 1.0), width, 0))
    return np.asarray(blurred / blurred.std(), np.float32)


def _stored(image: Field, quality: int) -> Field:
    """What a JPEG file of this quality gives back."""
    levels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "jpeg", quality=quality, subsampling=0)
    with Image.open(file) as stored:
        return np.asarray(stored, np.float32) / 255
