"""Average precision by COCO's own code, and paired intervals of it over images.

AP50: the mean over classes of the area under the interpolated precision-recall curve, a detection being right where it
overlaps an object of its class by an intersection over union of at least 0.5; AP: its mean over 0.50, 0.55, ..., 0.95 (Lin
et al. 2014, arXiv 1405.0312). Both come from pycocotools' `COCOeval`. Objects that do not count are passed as crowds, which
it neither counts as missed nor as found. Classes without an object are left out of the mean.

AP is no mean over images, so that each resampled set of images is accumulated again: `COCOeval` matches detections to
objects image by image once (`evalImgs`), and those matches are put together in the resampled order, an image drawn twice
counting twice, as its `accumulate` does (a test holds them equal), on whole arrays and a tenth of the time. The same sets
serve every condition, hence differences of conditions are paired. So do the sets that lack one image, which the interval is
corrected by (`qdr.suite.evaluate.stats`).
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
LEVELS = 10  # of overlap, COCO's thresholds
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
    evaluation = match(truth, found, classes)
    count = len(truth)
    curves = [_Class(evaluation.evalImgs[k * count : (k + 1) * count]) for k in range(classes)]
    recalls = evaluation.params.recThrs

    def measure(chosen: NDArray[np.int64]) -> Drawn:
        precision = np.stack([curve.precision(chosen, recalls) for curve in curves], axis=2)  # [levels, recalls, classes]
        present = precision[0, 0] > -1
        return np.array([precision[0][:, present].mean(), precision[:, :, present].mean()])

    every = np.arange(count)
    others = [np.delete(every, i) for i in every] if len(sets) else []
    drawn, left_out = (np.array([measure(chosen) for chosen in group]).reshape(-1, len(METRICS)) for group in (sets, others))
    return Precision(measure(every), drawn, left_out)


class _Class:
    """The matches of one class: its objects that count by image, and of its detections score, image, right or wrong."""

    def __init__(self, images: Sequence[dict[str, Any] | None]) -> None:
        found = [image or {"gtIgnore": [], "dtScores": []} for image in images]
        self._objects = np.array([np.count_nonzero(np.equal(image["gtIgnore"], 0)) for image in found])
        ends = np.cumsum([0, *(len(image["dtScores"]) for image in found)])
        self._columns = [np.arange(*ends[i : i + 2]) for i in range(len(found))]  # of each image's detections below
        self._scores = np.concatenate([image["dtScores"] for image in found])
        matched, ignored = (
            np.concatenate([np.zeros((LEVELS, 0)), *(image[key] for image in found if key in image)], axis=1) > 0
            for key in ("dtMatches", "dtIgnore")
        )
        self._right, self._wrong = matched & ~ignored, ~matched & ~ignored

    def precision(self, chosen: NDArray[np.int64], recalls: Drawn) -> Drawn:
        """Interpolated precision at some recalls, [thresholds, recalls]; -1 where no object counts."""
        positives = self._objects[chosen].sum()
        if positives == 0:
            return np.full((LEVELS, len(recalls)), -1.0)
        columns = np.concatenate([self._columns[i] for i in chosen])
        columns = columns[np.argsort(-self._scores[columns], kind="stable")]
        right, wrong = (np.cumsum(hits[:, columns], axis=1).astype(float) for hits in (self._right, self._wrong))
        precision = right / (wrong + right + np.spacing(1))
        highest = np.pad(np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1], ((0, 0), (0, 1)))  # 0 beyond the last
        reached = [np.searchsorted(reach, recalls) for reach in right / positives]
        return np.take_along_axis(highest, np.array(reached), axis=1)


def match(truth: Sequence[Labelled], found: Sequence[Detections], classes: int) -> Any:
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
