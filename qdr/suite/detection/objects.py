"""Labelled procedural scenes: textured objects of five classes on the scenes of `qdr.suite.data.scenes`.

The classes are outlines that dead leaves (ellipses, rectangles, triangles, rings) do not have: a star, a cross, an arrow,
a crescent, and a ring with a bar. Each object is turned, stretched, textured and coloured at random, as bright or dark
against its surroundings as `CONTRAST` says at least, and never covers another. It stands in front of what it covers, so
that haze lies on it by its own distance. The box is that of the pixels it covers by half or more.

A labelled scene depends on (seed, split, index) only.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from qdr.seed import derive
from qdr.suite.data.scenes import scene
from qdr.suite.data.texture import Field, natural_color, spectral_noise
from qdr.suite.detection.boxes import Labelled, iou

CLASSES = ("star", "cross", "arrow", "crescent", "barred ring")
RADIUS = (14.0, 36.0)  # pixels
CONTRAST = 0.22  # of mean brightness, at least
FINER = 4  # outlines are drawn this many times larger and reduced
_ARROW = ((1.0, 0.0), (0.1, 0.85), (0.1, 0.32), (-1.0, 0.32), (-1.0, -0.32), (0.1, -0.32), (0.1, -0.85))
Point = tuple[float, float]


def labelled_scene(seed: int, split: str, index: int, size: int) -> Labelled:
    """A scene of `size` pixels with one to four objects; `split` must not be one that scenes are trained on."""
    image, depth = scene(seed, split, index, size)
    rng = np.random.default_rng(derive(seed, split, index, "objects"))
    return place(rng, f"{index:04d}", image, depth, int(rng.integers(1, 5)))


def place(rng: np.random.Generator, name: str, image: NDArray[np.uint8], depth: Field | None, count: int) -> Labelled:
    """Put up to `count` objects (as many as find room) on an image [h, w, 3] with its depth [h, w]."""
    painted, depth = image.astype(np.float32) / 255, None if depth is None else depth.copy()
    height, width = image.shape[:2]
    corners: list[list[float]] = []
    labels: list[int] = []
    for _ in range(count):
        label, radius = int(rng.integers(len(CLASSES))), min(_radius(rng), min(height, width) / 4)
        cover = outline(label, radius, rng.uniform(0, 2 * math.pi), float(rng.uniform(0.75, 1.0)))
        rows, columns = (np.flatnonzero((cover >= 0.5).any(axis=axis)) for axis in (1, 0))
        cover = cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        h, w = cover.shape
        for _ in range(20):
            top, left = int(rng.integers(1, height - h)), int(rng.integers(1, width - w))
            box = [left, top, left + w, top + h]
            if not corners or iou(np.array(box, np.float32), np.array(corners, np.float32)).max() == 0:
                window = (slice(top, top + h), slice(left, left + w))
                _paint(rng, painted[window], cover)
                if depth is not None:
                    depth[window][cover >= 0.5] = 0.8 * float(depth[window].mean())
                corners.append([float(side) for side in box])
                labels.append(label)
                break
    boxes = np.array(corners, np.float32).reshape(-1, 4)
    shown = np.asarray(np.rint(np.clip(painted, 0, 1) * 255), np.uint8)
    return Labelled(name, shown, depth, boxes, np.array(labels, np.int64), np.zeros(len(labels), np.bool_))


def outline(label: int, radius: float, angle: float, aspect: float) -> Field:
    """How much of each pixel an object covers, [side, side] in [0, 1], its centre in the middle."""
    half = math.ceil(radius) + 1
    side = 2 * half * FINER
    canvas = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(canvas)
    cos, sin = math.cos(angle), math.sin(angle)

    def polygon(points: list[Point], value: int = 255) -> None:
        turned = [(u * cos - v * aspect * sin, u * sin + v * aspect * cos) for u, v in points]
        draw.polygon([((x * radius + half) * FINER, (y * radius + half) * FINER) for x, y in turned], fill=value)

    if CLASSES[label] == "star":
        polygon([_polar(1.0 if i % 2 == 0 else 0.42, i * math.pi / 5) for i in range(10)])
    elif CLASSES[label] == "cross":
        polygon([(-1.0, -0.28), (1.0, -0.28), (1.0, 0.28), (-1.0, 0.28)])
        polygon([(-0.28, -1.0), (0.28, -1.0), (0.28, 1.0), (-0.28, 1.0)])
    elif CLASSES[label] == "arrow":
        polygon(list(_ARROW))
    elif CLASSES[label] == "crescent":
        polygon(_circle(0.0, 1.0))
        polygon(_circle(0.48, 0.8), 0)
    else:
        polygon(_circle(0.0, 1.0))
        polygon(_circle(0.0, 0.7), 0)
        polygon([(-0.85, -0.16), (0.85, -0.16), (0.85, 0.16), (-0.85, 0.16)])
    return np.asarray(canvas.reduce(FINER), np.float32) / 255


def _paint(rng: np.random.Generator, window: Field, cover: Field) -> None:
    """Blend an object's surface over a window of the image."""
    around = float(window.mean())
    colour = natural_color(rng)
    while abs(float(colour.mean()) - around) < CONTRAST:
        colour = rng.uniform(0.03, 0.98) * natural_color(rng) / max(float(colour.max()), 0.3)
    height, width = cover.shape
    kind, strength = rng.random(), rng.uniform(0.05, 0.2)
    surface = np.ones((height, width), np.float32)
    if kind < 0.4:
        surface += np.float32(strength) * spectral_noise(rng, height, width, 1.0)
    elif kind < 0.7:
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        direction, period = rng.uniform(0, math.pi), rng.uniform(4, 10)
        across = math.cos(direction) * columns + math.sin(direction) * rows
        surface += np.float32(strength) * np.sign(np.sin(2 * math.pi * across / period))
    window += cover[..., None] * (colour * surface[..., None] - window)


def _radius(rng: np.random.Generator) -> float:
    """Small ones more often: uniform in the logarithm."""
    small, large = RADIUS
    return float(small * (large / small) ** rng.random())


def _polar(radius: float, angle: float) -> Point:
    return radius * math.cos(angle), radius * math.sin(angle)


def _circle(shift: float, radius: float) -> list[Point]:
    return [(shift + x, y) for x, y in (_polar(radius, math.pi * i / 24) for i in range(48))]
