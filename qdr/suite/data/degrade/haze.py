"""Haze: light scattered into and out of the line of sight (Koschmieder 1924; He, Sun and Tang 2011, IEEE TPAMI 33(12)).

    I = J t + A (1 - t),      t = exp(-beta d)

J is the clear image, d the depth, beta the scattering coefficient, A the airlight; the ranges follow RESIDE (Li et al.
2019, arXiv 1712.04143). The truth map is 1 - t. An image without a depth map gets an invented one: a plane that
recedes upwards with smooth relief, so that haze is thick far up and thin close by, or a room: pieces of the image at
depths of their own, so that haze changes where objects end, as it does indoors.

`add_reside_haze` makes it as RESIDE's indoor sets are made: beta in 0.6 to 1.8, one airlight for the three channels, 0.7
to 1 (FACT, that paper). READING: d is the depth over the image's farthest. On 50 images of NYU Depth v2 that gives inputs of
12.8 dB on average, against 12.3 dB of 24 pairs of SOTS indoor; d in metres gives 6.5 dB, d over 10 metres 17.0 dB. The truth
map is then d itself, from which any other haze of the image can be made.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from qdr.suite.data.texture import Field, spectral_noise

BETA = (0.8, 2.0)
AIRLIGHT = (0.75, 1.0)
TINT = 0.02
INDOOR_BETA = (0.6, 1.8)
INDOOR_AIRLIGHT = (0.7, 1.0)


def transmission(depth: Field, beta: float) -> Field:
    """The fraction of light that arrives, in (0, 1].

    >>> float(transmission(np.zeros(1, np.float32), 2.0)[0])
    1.0
    """
    return np.asarray(np.exp(-beta * depth), np.float32)


def invent_depth(rng: np.random.Generator, clean: Field) -> Field:
    """A receding plane with smooth relief, [h, w] in [0, 1], 0 near."""
    height, width = clean.shape[:2]
    plane = np.linspace(1.0, rng.uniform(0.1, 0.4), height, dtype=np.float32)[:, None]
    return np.clip(plane + 0.15 * spectral_noise(rng, height, width, 2.0), 0, 1).astype(np.float32)


def invent_room(rng: np.random.Generator, clean: Field) -> Field:
    """A receding plane whose superpixels (SLIC, Achanta et al. 2012, IEEE TPAMI 34(11)) stand nearer or farther, [h, w]."""
    from skimage.segmentation import slic

    height, width = clean.shape[:2]
    coarse = slic(clean[::4, ::4], n_segments=int(rng.integers(8, 60)), compactness=12, start_label=0)
    pieces = coarse.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
    offset = rng.normal(0, rng.uniform(0.05, 0.3), int(pieces.max()) + 1).astype(np.float32)
    plane = invent_depth(rng, clean) * rng.uniform(0.6, 1.4)
    return np.asarray(np.clip(plane + gaussian_filter(offset[pieces], 2.0), 0.02, None), np.float32)


def add_haze(
    rng: np.random.Generator, clean: Field, depth: Field | None, invent: Callable[[np.random.Generator, Field], Field]
) -> tuple[Field, Field]:
    """Hazy image and 1 - t; `invent` makes the depth where there is none."""
    if depth is None:
        depth = invent(rng, clean)
    t = transmission(depth, rng.uniform(*BETA))
    airlight = np.float32(rng.uniform(*AIRLIGHT)) + rng.normal(0, TINT, 3).astype(np.float32)
    hazy = clean * t[..., None] + np.clip(airlight, 0, 1) * (1 - t[..., None])
    return hazy, 1 - t


def add_reside_haze(rng: np.random.Generator, clean: Field, depth: Field | None) -> tuple[Field, Field]:
    """Hazy image and depth, 1 at the farthest pixel; of a room, where the depth is not known."""
    if depth is None:
        depth = invent_room(rng, clean)
    depth = np.asarray(depth / max(float(depth.max()), 1e-6), np.float32)
    t = transmission(depth, rng.uniform(*INDOOR_BETA))[..., None]
    return clean * t + np.float32(rng.uniform(*INDOOR_AIRLIGHT)) * (1 - t), depth
