"""The image that is timed: a crop of a photograph, because zeros, noise and photographs need not cost the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdr.images.pairs import images_in, read_image
from qdr.suite import paths
from qdr.suite.config import Config


def photograph(config: Config, side: int) -> NDArray[np.uint8]:
    """uint8 RGB [side, side, 3]: the middle of the first degraded test image of the bench's task that is large enough.

    If none is, the largest one, continued by its mirror image.

    Raises:
        QdrError: when the task's images are not prepared.
    """
    task = config.bench.task
    folder = paths.prepared(task, config.data.test[task][0].source) / "input"
    largest = np.zeros((0, 0, 3), np.uint8)
    for path in images_in(folder).values():
        image = read_image(path)
        if min(image.shape[:2]) > min(largest.shape[:2]):
            largest = image
        if min(image.shape[:2]) >= side:
            break
    height, width = largest.shape[:2]
    margin = [(0, max(0, side - height)), (0, max(0, side - width)), (0, 0)]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return np.ascontiguousarray(np.pad(largest, margin, mode="symmetric")[top : top + side, left : left + side])
