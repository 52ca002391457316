"""Seeded degradations: the physics of four tasks, each with its source.

Every degradation takes a clean image, RGB in [0, 1], and returns the degraded one and the truth map: how strongly each
pixel is degraded, in [0, 1]. The random state depends on (task, seed, image name) alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdr.data.degrade.haze import add_haze
from qdr.data.degrade.lowlight import darken
from qdr.data.degrade.noise import add_noise
from qdr.data.degrade.rain import add_rain
from qdr.data.texture import Field
from qdr.errors import check_choice
from qdr.seed import derive

DEGRADATIONS = {"lowlight": darken, "dehaze": add_haze, "derain": add_rain, "denoise": add_noise}


def degrade(
    task: str, clean: NDArray[np.uint8], depth: Field | None, seed: int, name: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The degraded image [h, w, 3] and its truth map [h, w], both uint8.

    Args:
        task: one of lowlight, dehaze, derain, denoise.
        clean: RGB [h, w, 3].
        depth: [h, w] in [0, 1], 0 near; None where it is unknown (haze then invents one).
        seed: of the data set.
        name: of the image, unique within the data set.
    """
    check_choice("task", task, DEGRADATIONS)
    rng = np.random.default_rng(derive(seed, task, name))
    image = clean.astype(np.float32) / 255
    degraded, truth = DEGRADATIONS[task](rng, image, depth)
    return _to_uint8(degraded), _to_uint8(truth)


def _to_uint8(image: Field) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)
