"""Average precision by COCO's own code, and paired intervals of it over images.

AP50: the mean over classes of the area under the interpolated precision-recall curve, a detection being right where it
overlaps an object of its class by an intersection over union of at least 0.5; AP: its mean over 0.50, 0.55, ..., 0.95 (Lin
et al. 2014, arXiv 1405.0312). Both come from pycocotools' `COCOeval`. Objects that do not count are passed as crowds, which
it neither counts as missed nor as found. Classes without an object are left out of the mean.

AP is no mean over images, so that each resampled set of images is accumulated again: `COCOeval` matches detections to
objects image by image once (`evalImgs`), and its `accumulate` is run on those matches in the resampled order, an image
drawn twice counting twice. The same sets serve every condition, hence differences of conditions are paired. So do the sets
that lack one image, which the interval is corrected by (`qdr.suite.evaluate.stats`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from qdr.suite.detection.boxes import LIMIT, Corners, Detections, Labelled

METRICS = ("ap50", "ap")
Sets = NDArray[np.int64]
Drawn = NDArray[np.float64]


@dataclass(frozen=True)
class Precision:
    """AP50 and AP, [2]: of all images, of every resampled set, [sets, 2], and of all images but one, [images, 2]."""

    value: Drawn
    drawn: Drawn
    left_out: Drawn


def average_precision(truth: Sequence[Labelled], found: Sequence[Detections], classes: int, sets: Sets) -> Precision:
    """Precision of the detections of each image.

    Args:
        truth: labelled images.
        found: detections of the same images, in the same order.
        classes: number of classes.
        sets: resampled sets of image indices, [sets, images]; may be empty, [0, images], and then no image is left out.
    """
    evaluation = _match(truth, found, classes)
    matches = evaluation.evalImgs
    count = len(truth)

    def measure(chosen: NDArray[np.int64]) -> Drawn:
        evaluation.evalImgs = [matches[k * count + i] if i >= 0 else None for k in range(classes) for i in chosen]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        precision = evaluation.eval["precision"][..., 0, 0]  # [thresholds, recalls, classes]
        present = precision[0, 0] > -1
        return np.array([precision[0][:, present].mean(), precision[:, :, present].mean()])

    every = np.arange(count)
    others = [np.where(every == i, -1, every) for i in every] if len(sets) else []  # COCO skips what is None
    drawn, left_out = (np.array([measure(chosen) for chosen in group]).reshape(-1, len(METRICS)) for group in (sets, others))
    return Precision(measure(every), drawn, left_out)


def _match(truth: Sequence[Labelled], found: Sequence[Detections], classes: int) -> Any:
    """COCO's evaluation with detections matched to objects."""
    annotations: list[dict[str, Any]] = []
    for i, labelled in enumerate(truth):
        for corners, label, ignored in zip(labelled.corners, labelled.labels, labelled.difficult, strict=True):
            about = {"id": len(annotations) + 1, "image_id": i + 1, "category_id": int(label) + 1}
            annotations.append(about | _size(corners) | {"iscrowd": int(ignored)})
    detections: list[dict[str, Any]] = []
    for i, boxes in enumerate(found):
        for corners, label, score in zip(boxes.corners, boxes.labels, boxes.scores, strict=True):
            about = {"id": len(detections) + 1, "image_id": i + 1, "category_id": int(label) + 1}
            detections.append(about | _size(corners) | {"score": float(score), "iscrowd": 0})
    images, categories = ([{"id": i + 1} for i in range(count)] for count in (len(truth), classes))
    with contextlib.redirect_stdout(io.StringIO()):
        both = []
        for entries in (annotations, detections):
            coco = COCO()
            coco.dataset = {"images": images, "categories": categories, "annotations": entries}
            coco.createIndex()
            both.append(coco)
        evaluation = COCOeval(*both, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [LIMIT]
        evaluation.evaluate()
    return evaluation


def _size(corners: Corners) -> dict[str, Any]:
    left, top, right, bottom = (float(side) for side in corners)
    return {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
