"""Pictures for the figure with boxes: one labelled image per task, degraded, restored and clean, and what was found.

Not chosen by result: of the images whose objects all fit into a window of `SIDE` pixels, the one with the most objects (the
next one for the next task, so that tasks show different scenes), cut to that window. Boxes are in boxes.json, each as
[class, score, left, top, right, bottom] in pixels of the window.

Scenes go to results/<profile>/detection. VOC's images are not to be passed on: with that source the pictures go to
work/detection-pictures, results/ gets their boxes alone, and the report draws no figure of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from qdr import files
from qdr.rows import write_json
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.detection.boxes import Corners, Detections, Image, Labelled, Labels
from qdr.suite.detection.detectors import Detector

SIDE = 176
SURE = 0.4  # lowest score of a box that is drawn
PICTURED = {"degraded": "degraded", "restored/fp32": "fp32", "restored/qdr": "qdr", "clean": "clean"}


def write_pictures(
    config: Config,
    task: str,
    detector: Detector,
    truth: list[Labelled],
    images: dict[str, list[Image]],
    found: dict[str, list[Detections]],
) -> None:
    """Write the pictures and boxes of a task; `images` and `found` per condition, in the order of `truth`."""
    chosen = _choose(truth, config.tasks.index(task))
    left, top = _window(truth[chosen])
    corners = truth[chosen].corners - np.array([left, top] * 2, np.float32)
    record: dict[str, Any] = {"image": truth[chosen].name, "detector": detector.name}
    record["objects"] = _listed(detector, corners, truth[chosen].labels, np.ones(len(corners), np.float32))
    pictures = {}
    for condition, name in PICTURED.items():
        if condition in images:
            boxes = found[condition][chosen]
            moved = boxes.corners - np.array([left, top] * 2, np.float32)
            middle = (moved[:, :2] + moved[:, 2:]) / 2
            seen = (boxes.scores >= SURE) & ((middle >= 0) & (middle < SIDE)).all(axis=1)
            record[name] = _listed(detector, moved[seen].clip(0, SIDE), boxes.labels[seen], boxes.scores[seen])
            pictures[name] = images[condition][chosen][top : top + SIDE, left : left + SIDE]
    own = config.detect.source == "procedural"
    _write(paths.detection_samples(config.profile, task), record, pictures if own else {})
    if not own:
        _write(paths.detection_pictures() / task, record, pictures)


def _choose(truth: list[Labelled], turn: int) -> int:
    """The index of the image that is shown, a different one per turn."""

    def crowded(i: int) -> tuple[bool, int, int]:
        corners = truth[i].corners
        fits = len(corners) > 0 and bool((corners[:, 2:].max(axis=0) - corners[:, :2].min(axis=0) <= SIDE).all())
        return not fits, -len(corners), i

    return sorted(range(len(truth)), key=crowded)[turn % len(truth)]


def _window(labelled: Labelled) -> tuple[int, int]:
    """Left and top of the window, its middle on that of the objects as far as the image allows."""
    corners, size = labelled.corners, labelled.image.shape[1::-1]
    middle = (corners[:, :2].min(axis=0) + corners[:, 2:].max(axis=0)) / 2 if len(corners) else np.array(size) / 2
    left, top = (int(np.clip(m - SIDE / 2, 0, max(0, s - SIDE))) for m, s in zip(middle, size, strict=True))
    return left, top


def _listed(detector: Detector, corners: Corners, labels: Labels, scores: NDArray[np.float32]) -> list[list[Any]]:
    return [
        [detector.classes[label], round(float(score), 3), *(round(float(side), 1) for side in box)]
        for box, label, score in zip(corners, labels, scores, strict=True)
    ]


def _write(folder: Path, record: dict[str, Any], pictures: dict[str, Image]) -> None:
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        write_json(temporary / "boxes.json", record)
        for name, image in pictures.items():
            PIL.Image.fromarray(np.ascontiguousarray(image)).save(temporary / f"{name}.png", compress_level=9)
