"""Opens every picture file: its format and its size are checked before a pixel is decoded.

Five formats are read and no other is tried: of the forty that Pillow knows, some start a program (PostScript starts
Ghostscript), and a suffix says nothing about the content. The limit is Pillow's own, above which it takes a file for a
decompression bomb: 2 x 89,478,485 pixels, or 512 MiB once they are RGB; the variable QDR_MAX_PIXELS sets another. Decoders
raise many kinds of errors, which have no common base; whatever one raises becomes one line that names the file.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from qdr.errors import QdrError

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
MAX_PIXELS = 2 * 89_478_485
_TOO_LARGE = "cut it into parts, or set QDR_MAX_PIXELS to as many if you mean it"
_EIGHT = ("1", "L", "P", "RGB", "YCbCr", "RGBX")  # Pillow's modes that RGB of 8 bits holds whole
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it tells what it raises besides


@contextmanager
def decoding(path: Path, kind: str, remedy: str) -> Iterator[None]:
    """Turn whatever a decoder raises inside the block into a line that names the file; `kind` is "an image" or alike.

    Raises:
        QdrError: also when there is no such file, or nothing in it.
    """
    if not path.is_file():
        raise QdrError(
            f"{path} does not exist: check the name" if not path.exists() else f"{path} is no file: check the name"
        )
    if path.stat().st_size == 0:
        raise QdrError(f"{path} is empty (0 bytes): {remedy}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what cannot be decoded raises; half of what can warns about its tags
            yield
    except QdrError:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise QdrError(f"{path} holds too many pixels ({error}): {_TOO_LARGE}") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise QdrError(f"{path} cannot be read as {kind} ({reason}): {remedy}") from error


def max_pixels() -> int:
    """How many pixels a picture may have.

    Raises:
        QdrError: when QDR_MAX_PIXELS is no positive integer.
    """
    given = os.environ.get("QDR_MAX_PIXELS", str(MAX_PIXELS))
    if not given.isdecimal() or int(given) < 1:
        raise QdrError(f"QDR_MAX_PIXELS must be a number of pixels, got {given!r}")
    return int(given)


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture without pixels, or with more than are read."""
    if width < 1 or height < 1:
        raise QdrError(f"{path} is {width}x{height} pixels: it holds no picture")
    if width * height > (limit := max_pixels()):
        raise QdrError(f"{path} holds too many pixels ({width}x{height}, the limit is {limit}): {_TOO_LARGE}")


@contextmanager
def opened(path: Path, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """A picture file with its header read and checked; pixels are decoded when they are asked for. Use inside `decoding`."""
    Image.MAX_IMAGE_PIXELS = -(-max_pixels() // 2)  # Pillow refuses twice as many
    with Image.open(path, formats=formats) as image:
        check_size(path, *image.size)
        yield image


def frames(image: Image.Image) -> int:
    """How many pictures a file holds; a JPEG with a preview beside it, as cameras write it, counts as one."""
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def rgb(path: Path) -> NDArray[np.uint8]:
    """The upright pixels of a file as RGB, uint8 [h, w, 3]; inside `decoding`.

    Raises:
        QdrError: when that would lose something: 16 bits, CMYK, transparency, several frames.
    """
    with _plain(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def grey(path: Path) -> NDArray[np.uint8]:
    """The pixels of a file as grey, uint8 [h, w]; inside `decoding`."""
    with _plain(path) as image:
        return np.asarray(image.convert("L"))


def sixteen(path: Path) -> NDArray[np.uint16]:
    """The samples of a grey PNG of 16 bits, [h, w]; inside `decoding`."""
    with opened(path, ("PNG",)) as image:
        if image.mode != "I;16":
            raise QdrError(f"{path} has samples of mode {image.mode}, grey of 16 bits is read here: make it again")
        return np.asarray(image, np.uint16)


@contextmanager
def _plain(path: Path) -> Iterator[Image.Image]:
    with opened(path) as image:
        deep = ";16" in str(getattr(image, "tile", ""))  # of which Pillow decodes the upper half
        if deep or image.mode not in _EIGHT or image.has_transparency_data:
            what = "16 bits" if deep else "transparency" if image.has_transparency_data else f"mode {image.mode}"
            raise QdrError(f"{path} has {what}, which would be lost: convert it to RGB of 8 bits")
        if frames(image) > 1:
            raise QdrError(f"{path} holds {frames(image)} frames or pages: split it")
        yield image
