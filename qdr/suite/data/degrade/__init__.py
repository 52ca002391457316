"""Seeded degradations: the physics of four tasks, each with its source, one file per kind.

Every degradation takes a clean image, RGB in [0, 1], and returns the degraded one and the truth map: how strongly each
pixel is degraded, in [0, 1]. The random state depends on (task, seed, image name) alone. A profile names the degradation
of each task (`data.degrade`), so that training can be matched to the set that is tested on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qdr.errors import check_choice
from qdr.seed import derive
from qdr.suite.data.degrade.camera import add_camera_noise
from qdr.suite.data.degrade.haze import add_haze, add_reside_haze, invent_depth, invent_room
from qdr.suite.data.degrade.heavy_rain import add_heavy_rain
from qdr.suite.data.degrade.lowlight import darken
from qdr.suite.data.degrade.noise import add_gaussian, add_noise
from qdr.suite.data.degrade.rain import add_rain
from qdr.suite.data.texture import Field

Degradation = Callable[[np.random.Generator, Field, Field | None], tuple[Field, Field]]
DEGRADATIONS: dict[str, Degradation] = {
    "low-light": darken,
    "haze": partial(add_haze, invent=invent_depth),
    "rain": add_rain,
    "noise": add_noise,
    "indoor-haze": partial(add_haze, invent=invent_room),
    "reside-haze": add_reside_haze,
    "heavy-rain": add_heavy_rain,
    "camera-noise": add_camera_noise,
    "awgn-25": partial(add_gaussian, sigma=25 / 255),
}


def degrade(
    kind: str, task: str, clean: NDArray[np.uint8], depth: Field | None, seed: int, name: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The degraded image [h, w, 3] and its truth map [h, w], both uint8.

    Args:
        kind: a degradation by name.
        task: what the images are made for; part of the random state.
        clean: RGB [h, w, 3].
        depth: [h, w] in [0, 1], 0 near; None where it is unknown (haze then invents one).
        seed: of the data set.
        name: of the image, unique within the data set.
    """
    check_choice("degradation", kind, DEGRADATIONS)
    rng = np.random.default_rng(derive(seed, task, name))
    image = clean.astype(np.float32) / 255
    degraded, truth = DEGRADATIONS[kind](rng, image, depth)
    return _to_uint8(degraded), _to_uint8(truth)


def _to_uint8(image: Field) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)
