"""PNG and TIFF with 16 bits per sample, and how a TIFF is written.

Pillow gives colour of 16 bits as 8 and says nothing, so imagecodecs (libpng) reads and writes the PNG, and tifffile with
imagecodecs' codecs reads the TIFF. What lies beside the pixels is written by Pillow: the chunks that it would put into a
PNG, and the directory of a TIFF, which its own way through libtiff cannot write with blocks of EXIF.
"""

from __future__ import annotations

import io
import zlib
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, TiffTags

from qdr.errors import QdrError
from qdr.images.decode import check_size
from qdr.restore.tiles import Pixels

Samples = NDArray[np.uint16]
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_AFTER_HEADER = 33  # signature and IHDR
_STRIP = 2**20  # bytes before compression
_BLOCKS = (0x8769, 0x8825)  # Exif and GPS


def is_deep(path: Path) -> bool:
    """Whether a file is a PNG or TIFF of 16 bits per sample.

    Raises:
        QdrError: when it is a TIFF of other samples than integers of up to 8 bits or of 16.
    """
    with path.open("rb") as file:
        head = file.read(25)
    if head[:8] == _PNG:
        return len(head) == 25 and head[24] == 16
    if head[:4] not in _TIFF:
        return False
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        if page.sampleformat not in (1, 4) or (page.bitspersample > 8 and page.bitspersample != 16):
            kind = {2: "signed integers", 3: "floats"}.get(page.sampleformat, "numbers")
            raise QdrError(
                f"{path} has samples of {page.bitspersample}-bit {kind}: convert it to integers of 8 bits (0 to 255) "
                "or 16 bits (0 to 65535)"
            )
        return bool(page.bitspersample == 16)


def read(path: Path, orientation: int) -> tuple[Samples, Samples | None]:
    """Upright pixels [h, w] or [h, w, 3] of a file with an EXIF orientation, and alpha or None."""
    with path.open("rb") as file:
        png = file.read(8) == _PNG
    samples = imagecodecs.png_decode(path.read_bytes()) if png else _read_tiff(path)
    samples = _upright(samples if samples.ndim == 3 else samples[:, :, None], orientation)
    channels = samples.shape[2]
    alpha = np.ascontiguousarray(samples[:, :, -1]) if channels in (2, 4) else None
    return np.ascontiguousarray(samples[:, :, 0] if channels < 3 else samples[:, :, :3]), alpha


def write(pixels: Pixels, alpha: Pixels | None, kept: dict[str, Any], path: Path, kind: str) -> None:
    """Write a PNG of 16 bits per sample or a TIFF ("deflate") of 8 or 16, with what Pillow would keep beside the pixels."""
    samples = np.ascontiguousarray(pixels if alpha is None else np.dstack([pixels, alpha]))
    if kind == "TIFF":
        with path.open("wb") as file:
            _write_tiff(samples, alpha is not None, kept, file)
        return
    data = imagecodecs.png_encode(samples)
    small = io.BytesIO()
    Image.new("L", (1, 1)).save(small, "PNG", **kept)
    chunks = small.getvalue()[_AFTER_HEADER:]
    path.write_bytes(data[:_AFTER_HEADER] + chunks[: chunks.index(b"IDAT") - 4] + data[_AFTER_HEADER:])


def _write_tiff(samples: Pixels, alpha: bool, kept: dict[str, Any], file: BinaryIO) -> None:
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    size = samples.dtype.itemsize
    rows = max(1, _STRIP // (size * width * channels))
    strips = [zlib.compress(samples[row : row + rows].astype(f"<u{size}").tobytes()) for row in range(0, height, rows)]
    tags = TiffImagePlugin.ImageFileDirectory_v2(_TIFF[0] + b"\x08\0\0\0")
    tags[256], tags[257], tags[258], tags[259], tags[262] = (
        width,
        height,
        (8 * size,) * channels,
        8,
        2 if channels > 2 else 1,
    )
    tags[277], tags[278], tags[279], tags[284] = channels, rows, tuple(map(len, strips)), 1
    tags[273] = tuple(accumulate(map(len, strips[:-1]), initial=0))  # from the end of the directory on, as Pillow takes them
    tags.tagtype[273] = tags.tagtype[279] = TiffTags.LONG
    if alpha:
        tags[338] = 2
    exif = Image.Exif()
    exif.load(kept.get("exif", b""))
    for tag in exif:
        tags[tag] = exif.get_ifd(tag) if tag in _BLOCKS else exif[tag]
    for tag, name in ((34675, "icc_profile"), (700, "xmp")):
        if name in kept:
            tags[tag] = kept[name]
    if "dpi" in kept:
        tags[296], (tags[282], tags[283]) = 2, kept["dpi"]
    file.write(_TIFF[0] + b"\x08\0\0\0" + tags.tobytes(8))
    file.writelines(strips)


def _read_tiff(path: Path) -> Samples:
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        if len(tiff.pages) > 1:
            raise QdrError(f"{path} holds {len(tiff.pages)} frames or pages: split it, or make it a video")
        check_size(path, page.imagewidth, page.imagelength)
        colours = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}.get(page.photometric.name)
        extra = [int(kind) for kind in page.extrasamples]
        if colours is None or extra not in ([], [2]) or page.samplesperpixel != colours + len(extra) or page.imagedepth != 1:
            raise QdrError(
                f"{path} is a 16-bit {page.photometric.name} TIFF with extra samples {extra}: convert it to RGB or RGBA"
            )
        samples: Samples = page.asarray()
        if samples.ndim == 3 and page.planarconfig.name == "SEPARATE":
            samples = np.moveaxis(samples, 0, 2)
        return 65535 - samples if page.photometric.name == "MINISWHITE" else samples


def _upright(samples: Samples, orientation: int) -> Samples:
    """Apply an EXIF orientation (1 to 8): mirror, then turn."""
    if orientation in (2, 4, 5, 7):
        samples = samples[:, ::-1]
    return np.rot90(samples, {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0))
