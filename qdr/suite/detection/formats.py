"""What goes into each detector and how its output becomes boxes.

    yolox       YOLOX (Ge et al. 2021, arXiv 2107.08430): letter box at the upper left on grey 114, BGR 0 to 255 as they
                are; strides 8, 16, 32; centre = (cell + output) s, size = exp(output) s; score = object x class
    nanodet     NanoDet-m (github.com/RangiLyu/nanodet; generalized focal loss, Li et al. 2020, arXiv 2006.04388): letter box
                on zero (stretching costs 6 points of AP50), BGR, mean and deviation of ImageNet; each side's distance
                from the cell's centre is the mean of a distribution over 0 to 7 strides; scores per class
    fastestdet  FastestDet (github.com/dog-qiuqiu/FastestDet): stretched, BGR / 255; one grid of stride 16; centre =
                cell + tanh, size = sigmoid x image; score = object^0.6 x class^0.4 of the likeliest class
    centre      the pipeline's own (`qdr.suite.detection.network`): RGB / 255 at its own size; distances from the
                cell's centre to the sides, scores per class

A `prepare` takes an RGB image [h, w, 3] and returns the batch and how many of its pixels make one of the image, across and
down; a `decode` takes the outputs and returns candidates: corners [n, 4] in pixels of the batch and scores [n, classes].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from scipy.special import expit, softmax

from qdr.suite.detection.boxes import Corners, Image
from qdr.suite.detection.network import STRIDE

Array = NDArray[np.float32]
Prepared = tuple[Array, float, float]
Candidates = tuple[Corners, Array]
NANODET_MEAN = np.array([103.53, 116.28, 123.675], np.float32)  # BGR
NANODET_DEVIATION = np.array([57.375, 57.12, 58.395], np.float32)


@dataclass(frozen=True)
class Format:
    """How images go in and boxes come out, the lowest score that counts, the overlap above which one of two is dropped."""

    prepare: Callable[[Image], Prepared]
    decode: Callable[[list[Array]], Candidates]
    minimum: float
    overlap: float


def prepare_yolox(image: Image, side: int = 416) -> Prepared:
    """The image fitted in, the rest grey."""
    fitted, scale = _fitted(image, side)
    canvas = np.full((side, side, 3), 114, np.float32)
    canvas[: fitted.shape[0], : fitted.shape[1]] = fitted
    return _batch(canvas[..., ::-1]), scale, scale


def decode_yolox(outputs: list[Array], side: int = 416) -> Candidates:
    """[1, cells, 5 + classes], strides 8, 16 and 32 one after the other; sigmoids are in the file."""
    raw = outputs[0][0]
    cells, strides = _grid(side)
    middle, size = (raw[:, :2] + cells) * strides, np.exp(raw[:, 2:4]) * strides
    corners = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
    return corners, _likeliest(raw[:, 5:]) * raw[:, 4:5]


def prepare_nanodet(image: Image, side: int = 416) -> Prepared:
    """The image fitted in and standardized, the rest zero."""
    fitted, scale = _fitted(image, side)
    canvas = np.zeros((side, side, 3), np.float32)
    canvas[: fitted.shape[0], : fitted.shape[1]] = (fitted[..., ::-1] - NANODET_MEAN) / NANODET_DEVIATION
    return _batch(canvas), scale, scale


def decode_nanodet(outputs: list[Array], side: int = 416) -> Candidates:
    """Scores [1, cells, classes] of three strides, then distributions [1, cells, 4 x 8] of the same."""
    scores = np.concatenate([level[0] for level in outputs[:3]])
    spread = np.concatenate([level[0] for level in outputs[3:]])
    spread = softmax(spread.reshape(len(spread), 4, -1), axis=2)
    distance = spread @ np.arange(spread.shape[2], dtype=np.float32)
    cells, strides = _grid(side)
    middle, distance = (cells + 0.5) * strides, distance * strides
    corners = np.concatenate([middle - distance[:, :2], middle + distance[:, 2:]], axis=1)
    return np.clip(corners, 0, side), scores


def prepare_fastestdet(image: Image, side: int = 352) -> Prepared:
    """The image stretched to a square."""
    stretched = _resized(image, side, side).astype(np.float32)[..., ::-1] / np.float32(255)
    return _batch(stretched), side / image.shape[1], side / image.shape[0]


def decode_fastestdet(outputs: list[Array], side: int = 352) -> Candidates:
    """[1, 5 + classes, rows, columns]: object, centre and size, classes; object and classes are probabilities."""
    raw = outputs[0][0]
    count = raw.shape[1]
    raw = raw.reshape(len(raw), -1).T
    cells = _cells(count)
    middle = (cells + np.tanh(raw[:, 1:3])) * (side / count)
    size = expit(raw[:, 3:5]) * side
    corners = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
    return corners, raw[:, :1] ** 0.6 * _likeliest(raw[:, 5:]) ** 0.4


def prepare_centre(image: Image) -> Prepared:
    """The image itself, extended to a multiple of the stride."""
    bottom, right = -image.shape[0] % STRIDE, -image.shape[1] % STRIDE
    extended = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge").astype(np.float32)
    return _batch(extended / np.float32(255)), 1.0, 1.0


def decode_centre(outputs: list[Array]) -> Candidates:
    """[1, classes + 4, rows, columns]: logits, logarithms of the distances to the four sides over the stride."""
    raw = outputs[0][0]
    rows, columns = np.mgrid[: raw.shape[1], : raw.shape[2]].astype(np.float32)
    middle = (np.stack([columns.ravel(), rows.ravel()], axis=1) + np.float32(0.5)) * STRIDE
    distance = np.exp(np.minimum(raw[-4:], 4)).reshape(4, -1).T * np.float32(STRIDE)
    corners = np.concatenate([middle - distance[:, :2], middle + distance[:, 2:]], axis=1)
    return corners, expit(raw[:-4]).reshape(len(raw) - 4, -1).T


FORMATS = {
    "yolox_nano": Format(prepare_yolox, decode_yolox, 0.01, 0.65),
    "nanodet_m": Format(prepare_nanodet, decode_nanodet, 0.01, 0.6),
    "FastestDet": Format(prepare_fastestdet, decode_fastestdet, 0.01, 0.45),
    "centre": Format(prepare_centre, decode_centre, 0.15, 0.5),
}


def _fitted(image: Image, side: int) -> tuple[Image, float]:
    """The image as large as fits into a square, and by how much it was scaled."""
    height, width = image.shape[:2]
    scale = min(side / height, side / width)
    return _resized(image, int(height * scale), int(width * scale)), scale


def _resized(image: Image, height: int, width: int) -> Image:
    """Bilinear without smoothing before reduction, as OpenCV does, which these detectors were trained with."""
    picture = PIL.Image.fromarray(image)
    inverse = (image.shape[1] / width, 0.0, 0.0, 0.0, image.shape[0] / height, 0.0)
    resample = PIL.Image.Resampling.BILINEAR
    return np.asarray(picture.transform((width, height), PIL.Image.Transform.AFFINE, inverse, resample))


def _batch(image: Array) -> Array:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def _cells(count: int) -> Array:
    """Column and row of every cell of a square grid, row by row, [count * count, 2]."""
    rows, columns = np.mgrid[:count, :count]
    return np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)


def _grid(side: int) -> tuple[Array, Array]:
    """Cells of three grids and their strides, [n, 2] and [n, 1]."""
    counts = [(math.ceil(side / stride), stride) for stride in (8, 16, 32)]
    cells = np.concatenate([_cells(count) for count, _ in counts])
    return cells, np.concatenate([np.full((count * count, 1), stride, np.float32) for count, stride in counts])


def _likeliest(scores: Array) -> Array:
    """Scores of the likeliest class of each candidate; 0 for the others."""
    return np.where(scores == scores.max(axis=1, keepdims=True), scores, 0)
