"""Procedural clean scenes with the statistics of natural images, and their depth: training data that needs no download.

Dead leaves: opaque shapes of power-law sizes, p(r) ~ r**-2 between two cut-offs, occlude one another in random order
(Lee, Mumford and Huang 2001, Int. J. Computer Vision 41; training restorers on them: Achddou, Gousseau and Ladjal 2021,
arXiv 2101.08135). Sharp occlusion edges, shading, 1/f texture, gratings, checks, lines and text are what a restorer has
to keep. The order of the leaves gives a depth map, which haze needs. Rendered at twice the size and reduced.

A scene depends on (seed, split, index) only, not on how many processes draw.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from qdr import files
from qdr.seed import derive
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.data.texture import Field, natural_color, spectral_noise
from qdr.suite.processes import side_by_side

RADII = (0.012, 0.45)  # smallest and largest leaf, in scene sides
TILE = 256
Window = tuple[slice, slice]


def make_scenes(config: Config) -> None:
    """Write data/scenes/{train,val,heldout}: `<name>.png` (RGB) and `<name>.depth.png` (16 bit, 0 near, 65535 far)."""
    counts = config.data.scenes
    with files.replacing(paths.scenes("train").parent) as folder:
        listed = [("train", counts.train), ("val", counts.validation), ("heldout", counts.heldout)]
        for split, _ in listed:
            (folder / split).mkdir(parents=True)
        wanted = [(split, index) for split, count in listed for index in range(count)]
        side_by_side(partial(_write, folder, config.data.seed, counts.size), wanted, config.threads, "scenes")


def scene(seed: int, split: str, index: int, size: int) -> tuple[NDArray[np.uint8], Field]:
    """One scene: RGB [size, size, 3] and depth [size, size] in [0, 1], 0 near."""
    rng = np.random.default_rng(derive(seed, split, index))
    side = 2 * size
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    image, depth = _background(rng, rows, columns)
    tiles = [spectral_noise(rng, TILE, TILE, slope) for slope in (0.6, 1.0, 1.5)]
    count = int(rng.integers(60, 260))
    small, large = RADII
    radii = 1 / (1 / small + rng.random(count) * (1 / large - 1 / small))  # inverse transform of p(r) ~ r**-2
    if rng.random() < 0.5:
        radii = np.sort(radii)[::-1]  # large ones behind: more small detail stays visible
    for order, radius in enumerate(radii):
        _leaf(rng, image, depth, tiles, float(radius), 1 - 0.9 * (order + 1) / count)
    drawn = _lines_and_text(rng, image)
    light = np.exp(0.25 * spectral_noise(rng, 64, 64, 2.0))
    light = np.asarray(Image.fromarray(light).resize((side, side), Image.Resampling.BICUBIC))
    lit = Image.fromarray(_to_uint8(drawn * light[..., None]))
    lit = lit.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.3)))).reduce(2)
    return np.asarray(lit), np.asarray(Image.fromarray(depth).reduce(2))


def _background(rng: np.random.Generator, rows: Field, columns: Field) -> tuple[Field, Field]:
    """A sky or wall with a gradient and faint clouds, and a ground plane that comes nearer downwards."""
    ramp = (rows if rng.random() < 0.7 else columns)[..., None]
    image = natural_color(rng) * (1 - ramp) + natural_color(rng) * ramp
    image = image + spectral_noise(rng, rows.shape[0], rows.shape[1], 1.5)[..., None] * rng.uniform(0, 0.08)
    return image.astype(np.float32), (1 - 0.6 * rows).astype(np.float32)


def _leaf(rng: np.random.Generator, image: Field, depth: Field, tiles: list[Field], radius: float, distance: float) -> None:
    """Draw one leaf over what is there."""
    side = image.shape[0]
    x, y = rng.uniform(-0.1, 1.1, 2) * side
    reach = 1.5 * radius * side
    top, bottom = max(0, int(y - reach)), min(side, int(y + reach))
    left, right = max(0, int(x - reach)), min(side, int(x + reach))
    if bottom - top < 2 or right - left < 2:
        return
    window = (slice(top, bottom), slice(left, right))
    dy = (np.arange(bottom - top) + (top - y)).astype(np.float32)[:, None]
    dx = (np.arange(right - left) + (left - x)).astype(np.float32)
    angle = rng.uniform(0, math.pi)
    u = (math.cos(angle) * dx + math.sin(angle) * dy) / (radius * side)
    v = (math.cos(angle) * dy - math.sin(angle) * dx) / (radius * side)
    inside = _shape(rng, u, v)
    u, v = u[inside], v[inside]
    value = _texture(rng, tiles, window, inside, u, v, radius)
    slope = rng.normal(0, 0.3, 2)
    image[window][inside] = natural_color(rng) * (value * (1 + slope[0] * u + slope[1] * v))[:, None]
    depth[window][inside] = distance


def _shape(rng: np.random.Generator, u: Field, v: Field) -> NDArray[np.bool_]:
    """An ellipse, a rectangle, a triangle or a ring of radius 1."""
    kind, aspect = rng.random(), rng.uniform(0.35, 1.0)
    if kind < 0.4:
        inside = u**2 + (v / aspect) ** 2 < 1
    elif kind < 0.7:
        inside = (np.abs(u) < 1) & (np.abs(v) < aspect)
    elif kind < 0.85:
        inside = (v > -0.6) & (v + 1.7 * np.abs(u) < 1)
    else:
        inside = (u**2 + v**2 < 1) & (u**2 + v**2 > rng.uniform(0.3, 0.8))
    return np.asarray(inside)


def _texture(
    rng: np.random.Generator,
    tiles: list[Field],
    window: Window,
    inside: NDArray[np.bool_],
    u: Field,
    v: Field,
    radius: float,
) -> Field:
    """Brightness of a leaf's surface, of its pixels alone, around 1: plain, 1/f noise, a grating or a chequer-board."""
    kind, contrast = rng.random(), rng.uniform(0.1, 0.5)
    if kind < 0.45:
        shift = rng.integers(0, TILE, 2)
        ys, xs = ((np.arange(s.start, s.stop) + o) % TILE for s, o in zip(window, shift, strict=True))
        return 1 + tiles[rng.integers(3)][np.ix_(ys, xs)][inside] * np.float32(rng.uniform(0.03, 0.3))
    if kind < 0.6:
        wave = np.sin(3 * rng.uniform(3, 30) * max(radius, 0.08) / 0.2 * u)
        return np.asarray(1 + contrast * (np.sign(wave) if rng.random() < 0.5 else wave), np.float32)
    if kind < 0.68:
        period = 3 * rng.uniform(2, 8)
        return np.asarray(1 + contrast * np.sign(np.sin(period * u) * np.sin(period * v)), np.float32)
    return np.ones_like(u)


def _lines_and_text(rng: np.random.Generator, image: Field) -> Field:
    canvas = Image.fromarray(_to_uint8(image))
    draw, side = ImageDraw.Draw(canvas), canvas.width
    for _ in range(rng.integers(0, 14)):
        ends = [float(end) for end in rng.uniform(0, side, 4)]
        draw.line(ends, fill=_ink(rng), width=int(rng.integers(1, 7)))
    for _ in range(rng.integers(0, 3)):
        text = "".join(chr(rng.integers(33, 123)) for _ in range(rng.integers(3, 14)))
        x, y = rng.uniform(0, 0.8 * side, 2)
        font = ImageFont.load_default(size=float(rng.uniform(0.03, 0.16) * side))
        draw.text((float(x), float(y)), text, fill=_ink(rng), font=font)
    return np.asarray(canvas, np.float32) / 255


def _ink(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(255 * value) for value in natural_color(rng))
    return red, green, blue


def _to_uint8(image: Field) -> NDArray[np.uint8]:
    return np.asarray(np.clip(image, 0, 1) * 255, np.uint8)


def _write(folder: Path, seed: int, size: int, wanted: tuple[str, int]) -> None:
    split, index = wanted
    image, depth = scene(seed, split, index, size)
    Image.fromarray(image).save(folder / split / f"{index:04d}.png", compress_level=1)
    far = np.asarray(np.rint(np.clip(depth, 0, 1) * 65535), np.uint16)
    Image.fromarray(far).save(folder / split / f"{index:04d}.depth.png", compress_level=1)
