"""Detectors in ONNX Runtime behind one interface: an 8-bit RGB image in, boxes out.

`centre` is the pipeline's own (work/detector). The others are published ones, trained on COCO, read from
detection/weights below the folder that QDR_DATA names and checked against the sums below: what was measured is what is
run. Of COCO's classes those that VOC has are kept, under VOC's labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from qdr.errors import QdrError, check_choice
from qdr.files import read_text
from qdr.runtimes.ort import load_on_cpu
from qdr.suite import paths
from qdr.suite.data.records import sha256
from qdr.suite.detection import objects, voc
from qdr.suite.detection.boxes import Detections, Image, select
from qdr.suite.detection.formats import FORMATS

WEIGHTS = Path("detection/weights")
NAMES = "coco.names"
SUMS = {  # YOLOX and NanoDet: Apache-2.0; FastestDet: BSD-3-Clause
    "yolox_nano": "e8af074932d4ed7e232278e3055cefcdea3edf178874a3694ae292649fb464dd",
    "nanodet_m": "4b82da9944b88577175ee23a459dce2e26e6e4be573def65b1055dc2d9720186",
    "FastestDet": "31cb14c017fce347cb4c846ec62fdf00d76bb3beecdf4be21e7116ac67feb880",
}


class Detector(Protocol):
    """What finds objects."""

    name: str
    classes: tuple[str, ...]

    def detect(self, image: Image) -> Detections:
        """Objects in an RGB image [h, w, 3]."""
        ...


class OnnxDetector:
    """A detector file; `columns` picks the scores of `classes` among those the file puts out."""

    def __init__(self, name: str, path: Path, classes: tuple[str, ...], columns: list[int], threads: int) -> None:
        self.name, self.classes, self._columns, self._format = name, classes, columns, FORMATS[name]
        self._session = load_on_cpu(path, threads)
        self._input = self._session.get_inputs()[0].name

    def detect(self, image: Image) -> Detections:
        """Objects in an RGB image [h, w, 3]."""
        batch, across, down = self._format.prepare(image)
        corners, scores = self._format.decode(self._session.run(None, {self._input: batch}))
        found = select(corners, scores[:, self._columns], self._format.minimum, self._format.overlap)
        limits = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        inside = np.asarray(np.clip(found.corners / np.array([across, down] * 2, np.float32), 0, limits), np.float32)
        return Detections(inside, found.labels, found.scores)


def open_detector(name: str, threads: int) -> Detector:
    """Load a detector.

    Raises:
        QdrError: on an unknown name, a file that is missing or is not the one that was measured.
    """
    check_choice("detector", name, FORMATS)
    if name == "centre":
        path = paths.detector() / "detector.onnx"
        if not path.is_file():
            raise QdrError(f"{path} does not exist: train it first (`dvc repro detector`)")
        return OnnxDetector(name, path, objects.CLASSES, list(range(len(objects.CLASSES))), threads)
    folder = voc.local_folder() / WEIGHTS
    path = folder / f"{name}.onnx"
    if not path.is_file():
        raise QdrError(f"QDR_DATA has no {WEIGHTS / path.name}: put it there, or take {name!r} out of detect.detectors")
    found = sha256(path)
    if found != SUMS[name]:
        raise QdrError(f"{path} has sha256 {found[:12]}..., expected {SUMS[name][:12]}...: it is not the file measured")
    return OnnxDetector(name, path, voc.CLASSES, _columns(folder / NAMES), threads)


def _columns(path: Path) -> list[int]:
    """Where each VOC class stands in a list of COCO's classes, which calls it by COCO's name or by VOC's own."""
    names = read_text(path, "put COCO's 80 class names there, one on a line").split("\n")
    places = []
    for own, theirs in voc.COCO_NAMES.items():
        if own not in names and theirs not in names:
            raise QdrError(f"{path} has neither {own!r} nor {theirs!r}: it must list COCO's 80 classes, one on a line")
        places.append(names.index(own if own in names else theirs))
    return places
