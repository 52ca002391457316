"""Boxes in pixels: what a labelled image holds, what a detector finds, and non-maximum suppression.

A box is its corners (left, top, right, bottom), right and bottom exclusive, in pixels of the image; a label is an index
into the classes of the data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdr.suite.data.texture import Field

Image = NDArray[np.uint8]
Corners = NDArray[np.float32]
Labels = NDArray[np.int64]
CANDIDATES = 300  # of a class that enter suppression, the surest
LIMIT = 100  # detections per image that COCO's evaluation looks at


@dataclass(frozen=True)
class Labelled:
    """An image [h, w, 3] with its objects: corners [n, 4], labels [n] and which of them do not count ("difficult")."""

    name: str
    image: Image
    depth: Field | None
    corners: Corners
    labels: Labels
    difficult: NDArray[np.bool_]


@dataclass(frozen=True)
class Detections:
    """What a detector found: corners [n, 4], labels [n] and scores [n], the surest first."""

    corners: Corners
    labels: Labels
    scores: NDArray[np.float32]


def iou(box: Corners, others: Corners) -> NDArray[np.float32]:
    """Intersection over union of a box [4] with others [n, 4].

    >>> iou(np.float32([0, 0, 2, 2]), np.float32([[1, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
    [0.3330000042915344, 0.0]
    """
    size = np.maximum(0, np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]))
    shared = size.prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return np.asarray(shared / np.maximum((box[2:] - box[:2]).prod() + areas - shared, 1e-9), np.float32)


def suppress(corners: Corners, scores: NDArray[np.float32], threshold: float) -> list[int]:
    """Non-maximum suppression: indices of the boxes kept, the surest first; none overlaps a surer one by more than this.

    >>> suppress(np.float32([[0, 0, 4, 4], [0, 0, 4, 5], [9, 9, 12, 12]]), np.float32([0.5, 0.9, 0.3]), 0.5)
    [1, 2]
    """
    kept = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        first, left = int(left[0]), left[1:]
        kept.append(first)
        left = left[iou(corners[first], corners[left]) <= threshold]
    return kept


def select(corners: Corners, scores: NDArray[np.float32], minimum: float, overlap: float) -> Detections:
    """Detections from candidates: corners [n, 4] and scores [n, classes], suppressed class by class, the best `LIMIT`."""
    found: list[tuple[float, int, int]] = []
    for label in range(scores.shape[1]):
        sure = np.flatnonzero(scores[:, label] >= minimum)
        sure = sure[np.argsort(-scores[sure, label], kind="stable")[:CANDIDATES]]
        kept = sure[suppress(corners[sure], scores[sure, label], overlap)]
        found += [(float(scores[i, label]), label, int(i)) for i in kept]
    found = sorted(found, key=lambda entry: -entry[0])[:LIMIT]
    where = np.array([i for _, _, i in found], np.int64)
    labels = np.array([label for _, label, _ in found], np.int64)
    return Detections(corners[where].reshape(-1, 4), labels, np.array([score for score, _, _ in found], np.float32))
