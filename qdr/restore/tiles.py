"""An image of any size through an engine: whole, or in tiles whose inside is what the whole image gives.

Tiles have one shape (engines compile once per shape) and start at multiples of the model's stride. Of each only the part
that is at least a halo away from its borders is kept, unless that border is the image's own. With a halo no smaller than
the model's reach (`qdr.restore.footprint`) the kept part sees nothing but the image, so tiled and whole differ by the
engine's rounding alone. Only one tile is ever held in floating point.

Width is extended to the stride by repeating the edge, as `qdr.runtimes.session.restore` does; for 8-bit RGB and no tiles
the result is that function's, bit for bit. Grey images go in as three equal channels and come out as Rec. 601 luma.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from qdr.errors import QdrError
from qdr.restore.footprint import Footprint
from qdr.runtimes.session import MULTIPLE, Runs, restore_block

Pixels = NDArray[Any]  # uint8 or uint16, [h, w] grey or [h, w, 3] RGB
BUDGET = 400 * 2**20  # bytes of activations: with two 24-megapixel images and a runtime the process is below 1 GiB
LARGEST = 2**20  # pixels restored at once at most by `auto`
POOLED_BUDGET = 8 * 2**30  # the same for models that see the whole image: of an EFM 27 megapixels, in OpenVINO a third of it
POOLED_HALO = 64  # pixels, where such a model's image is cut all the same


@dataclass(frozen=True)
class Tiling:
    """How an image is cut.

    Args:
        multiple: sides of what the engine gets are multiples of it.
        halo: pixels of a tile's border that are thrown away, a multiple of `multiple`.
        side: of a tile in pixels, a multiple of `multiple`; None: never cut.
        whole: images of up to this many pixels are not cut.
        fixed: height and width of the only tiles that the engine takes, to which smaller images are extended.
    """

    multiple: int
    halo: int
    side: int | None
    whole: int = 0
    fixed: tuple[int, int] | None = None


@dataclass(frozen=True)
class Cut:
    """One tile along one axis: it covers [start, start + length), of which [first, last) is kept."""

    start: int
    length: int
    first: int
    last: int


def tiling(needs: Footprint, tile: str, fixed: tuple[int, int] | None = None) -> Tiling:
    """The tiling that `--tile` asks for: "auto", "none" or a side in pixels; `fixed` is an engine's only height and width.

    Fixed tiles that are smaller than four halos get a smaller halo than the model's reach, and change its result.

    Raises:
        QdrError: when `tile` is none of these, or too small for the model's reach.
    """
    multiple = math.lcm(MULTIPLE, needs.stride)
    halo = _up(POOLED_HALO if needs.reach is None else needs.reach, multiple)
    smallest = max(4 * halo, multiple)  # below, every pixel is computed more than four times
    if fixed is not None:
        if tile not in ("auto", f"{fixed[0]}"):
            raise QdrError(f"--tile {tile}: this model takes tiles of {fixed[1]}x{fixed[0]} only: leave --tile out")
        quarter = min(fixed) // 4
        return Tiling(multiple, halo if halo <= quarter else quarter // needs.stride * needs.stride, min(fixed), fixed=fixed)
    if tile == "none":
        return Tiling(multiple, halo, None)
    if tile == "auto":
        pixels = min(LARGEST, int(BUDGET / max(needs.bytes_per_pixel, 1)))
        if needs.reach is None:  # in tiles each would get a look of its own
            most = min(POOLED_BUDGET, psutil.virtual_memory().available // 2)
            pixels = max(pixels, int(most / max(needs.bytes_per_pixel, 1)))
        return Tiling(multiple, halo, max(smallest, math.isqrt(pixels) // multiple * multiple), whole=pixels)
    if not tile.isdigit():
        raise QdrError(f"--tile must be auto, none or a side in pixels, got {tile!r}")
    if int(tile) < smallest:
        raise QdrError(
            f"--tile {tile} is too small: this model looks {needs.reach or halo} pixels far, and the borders of a tile are "
            f"computed for nothing; take {smallest} or more"
        )
    return Tiling(multiple, halo, int(tile) // multiple * multiple)


def cuts(length: int, side: int, halo: int) -> list[Cut]:
    """Tiles of one shape that cover an axis of `length` pixels; the kept parts meet without overlap.

    >>> [(c.start, c.first, c.last) for c in cuts(400, 200, 50)]
    [(0, 0, 150), (100, 150, 250), (200, 250, 400)]
    """
    if length <= side:
        return [Cut(0, length, 0, length)]
    starts = [*range(0, length - side, side - 2 * halo), length - side]
    firsts = [0, *(previous + side - halo for previous in starts[:-1])]
    lasts = [*firsts[1:], length]
    return [Cut(start, side, first, last) for start, first, last in zip(starts, firsts, lasts, strict=True)]


def is_cut(how: Tiling, height: int, width: int) -> bool:
    """Whether an image of this size is cut into several tiles."""
    tall, wide = _up(height, how.multiple), _up(width, how.multiple)
    if how.fixed:
        return height > how.fixed[0] or width > how.fixed[1]
    return how.side is not None and max(tall, wide) > how.side and tall * wide > how.whole


def restore_pixels(session: Runs, pixels: Pixels, how: Tiling, advance: Callable[[float], None] | None = None) -> Pixels:
    """Restore an image of any size; same shape and type as `pixels`. `advance` is told the share done, in (0, 1]."""
    lengths = pixels.shape[:2]
    padded = [_up(length, how.multiple) for length in lengths]
    if how.fixed:
        sides = zip(lengths, padded, how.fixed, strict=True)
        rows, columns = (cuts(side if length <= side else tall, side, how.halo) for length, tall, side in sides)
    elif how.side is None or not is_cut(how, *lengths):
        rows, columns = (cuts(length, length, 0) for length in padded)
    else:
        rows, columns = (cuts(length, how.side, how.halo) for length in padded)
    result = np.empty_like(pixels)
    for done, (row, column) in enumerate(product(rows, columns), 1):
        restored = restore_block(session, _read(pixels, row, column))
        target = result[row.first : row.last, column.first : column.last]
        top, left = row.first - row.start, column.first - column.start
        target[...] = restored[top : top + target.shape[0], left : left + target.shape[1]]
        if advance is not None:
            advance(done / (len(rows) * len(columns)))
    return result


def _read(pixels: Pixels, row: Cut, column: Cut) -> Pixels:
    """One tile, its edge repeated where it goes beyond the image."""
    block = pixels[row.start : row.start + row.length, column.start : column.start + column.length]
    beyond = (row.length - block.shape[0], column.length - block.shape[1])
    return np.pad(block, [(0, beyond[0]), (0, beyond[1]), (0, 0)][: block.ndim], mode="edge")


def _up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
