"""Pascal VOC images with their boxes (Everingham et al. 2010, Int. J. Computer Vision 88), from a local folder.

Read from detection/voc100 below the folder that the environment variable QDR_DATA names: `images/<name>.jpg` and
`annotations/<name>.xml`. Corners in the files count from 1 and include the last pixel; here they count from 0 and exclude
it. "Difficult" objects neither count as missed nor as found (the VOC rule). The files are parsed with declarations of
entities refused, so that no entity is ever expanded.

VOC's images come from Flickr under its terms: nothing of them is written below results/ or figures/.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from qdr.errors import QdrError, nearest
from qdr.files import read_text
from qdr.images.pairs import images_in, read_image
from qdr.suite.detection.boxes import Labelled

FOLDER = Path("detection/voc100")
COCO_NAMES = {  # VOC's classes and what COCO calls them
    "aeroplane": "airplane",
    "bicycle": "bicycle",
    "bird": "bird",
    "boat": "boat",
    "bottle": "bottle",
    "bus": "bus",
    "car": "car",
    "cat": "cat",
    "chair": "chair",
    "cow": "cow",
    "diningtable": "dining table",
    "dog": "dog",
    "horse": "horse",
    "motorbike": "motorcycle",
    "person": "person",
    "pottedplant": "potted plant",
    "sheep": "sheep",
    "sofa": "couch",
    "train": "train",
    "tvmonitor": "tv",
}
CLASSES = tuple(COCO_NAMES)
_LARGEST = 2**20  # bytes of an annotation; VOC's have some thousands


def local_folder() -> Path:
    """The folder that QDR_DATA names."""
    base = os.environ.get("QDR_DATA")
    if not base:
        raise QdrError(f"detection on VOC needs the environment variable QDR_DATA: the folder that holds {FOLDER.parent}")
    if not (Path(base) / FOLDER).is_dir():
        raise QdrError(
            f"QDR_DATA has no folder {FOLDER}: put VOC images and annotations there, as qdr/suite/detection/voc.py says"
        )
    return Path(base)


def voc_images(count: int) -> list[Labelled]:
    """The first `count` images by name."""
    folder = local_folder() / FOLDER
    found = images_in(folder / "images")
    if len(found) < count:
        raise QdrError(f"{folder} holds {len(found)} images, {count} are asked for: lower detect.images")
    return [_read(name, path, folder / "annotations" / f"{name}.xml") for name, path in list(found.items())[:count]]


def _read(name: str, path: Path, annotation: Path) -> Labelled:
    try:
        corners, labels, difficult = parse(read_text(annotation, "every image needs its annotation", largest=_LARGEST))
    except (ElementTree.ParseError, ValueError, AttributeError) as error:
        raise QdrError(f"{annotation} is not a VOC annotation ({error}): fetch it again") from error
    boxes = np.array(corners, np.float32).reshape(-1, 4)
    return Labelled(name, read_image(path), None, boxes, np.array(labels, np.int64), np.array(difficult, np.bool_))


def parse(text: str) -> tuple[list[list[float]], list[int], list[bool]]:
    """Corners, labels and "difficult" of every object of an annotation.

    >>> parse('''<annotation><object><name>sofa</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>3</ymin>
    ... <xmax>10</xmax><ymax>20</ymax></bndbox></object></annotation>''')
    ([[0.0, 2.0, 10.0, 20.0]], [17], [True])
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares a document type")
    corners, labels, difficult = [], [], []
    for found in ElementTree.fromstring(text).iter("object"):
        box = found.find("bndbox")
        sides = [float(_text(box, side)) for side in ("xmin", "ymin", "xmax", "ymax")]
        if not all(map(math.isfinite, sides)):
            raise ValueError(f"an object has the box {sides}")
        corners.append([sides[0] - 1, sides[1] - 1, sides[2], sides[3]])
        if (name := _text(found, "name")) not in CLASSES:
            raise ValueError(f"unknown VOC class {name!r}, {nearest(name, CLASSES)}")
        labels.append(CLASSES.index(name))
        difficult.append(found.findtext("difficult", "0").strip() == "1")
    return corners, labels, difficult


def _text(element: ElementTree.Element | None, name: str) -> str:
    text = None if element is None else element.findtext(name)
    if text is None:
        raise ValueError(f"an object has no {name}")
    return text.strip()
