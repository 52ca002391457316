"""PNG and TIFF with 16 bits per sample.

Pillow gives colour of 16 bits as 8 and says nothing, so imagecodecs (libpng) reads and writes the PNG, and tifffile with
imagecodecs' codecs the TIFF. The profile goes into a PNG as its iCCP chunk (PNG specification, 11.3.2.3).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from qdr.data.decode import check_size, opened
from qdr.errors import QdrError

FORMATS = ("PNG", "TIFF")
Samples = NDArray[np.uint16]
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_AFTER_HEADER = 33  # signature and IHDR


def is_deep(path: Path) -> bool:
    """Whether a file is a PNG or TIFF of 16 bits per sample."""
    with path.open("rb") as file:
        head = file.read(25)
    if head[:8] == _PNG:
        return len(head) == 25 and head[24] == 16
    if head[:4] not in _TIFF:
        return False
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[0].dtype == np.uint16


def read(path: Path) -> tuple[Samples, Samples | None, bytes | None]:
    """Upright pixels [h, w] or [h, w, 3], alpha or None, profile or None."""
    with path.open("rb") as file:
        png = file.read(8) == _PNG
    samples, icc, orientation = _read_png(path) if png else _read_tiff(path)
    samples = _upright(samples if samples.ndim == 3 else samples[:, :, None], orientation)
    channels = samples.shape[2]
    alpha = np.ascontiguousarray(samples[:, :, -1]) if channels in (2, 4) else None
    return np.ascontiguousarray(samples[:, :, 0] if channels < 3 else samples[:, :, :3]), alpha, icc


def write(pixels: Samples, alpha: Samples | None, icc: bytes | None, path: Path, kind: str) -> None:
    """Write a PNG or a TIFF ("deflate") of 16 bits per sample."""
    samples = pixels if alpha is None else np.dstack([pixels, alpha])
    if kind == "TIFF":
        photometric = "rgb" if pixels.ndim == 3 else "minisblack"
        extra: dict[str, Any] = {} if alpha is None else {"extrasamples": ["unassalpha"], "planarconfig": "contig"}
        tifffile.imwrite(path, samples, photometric=photometric, compression="zlib", iccprofile=icc, metadata=None, **extra)
        return
    data = imagecodecs.png_encode(np.ascontiguousarray(samples))
    path.write_bytes(data[:_AFTER_HEADER] + (_iccp(icc) if icc else b"") + data[_AFTER_HEADER:])


def _read_png(path: Path) -> tuple[Samples, bytes | None, int]:
    with opened(path, ("PNG",)) as image:
        icc, orientation = image.info.get("icc_profile"), image.getexif().get(0x0112, 1)
    return imagecodecs.png_decode(path.read_bytes()), icc, orientation


def _read_tiff(path: Path) -> tuple[Samples, bytes | None, int]:
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
        samples = page.asarray()
        if samples.ndim == 3 and page.planarconfig.name == "SEPARATE":
            samples = np.moveaxis(samples, 0, 2)
        if page.photometric.name == "MINISWHITE":
            samples = 65535 - samples
        tag = page.tags.get("Orientation")
        return samples, page.iccprofile, 1 if tag is None else int(tag.value)


def _upright(samples: Samples, orientation: int) -> Samples:
    """Apply an EXIF orientation (1 to 8): mirror, then turn."""
    if orientation in (2, 4, 5, 7):
        samples = samples[:, ::-1]
    return np.rot90(samples, {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0))


def _iccp(icc: bytes) -> bytes:
    body = b"iCCPicc\0\0" + zlib.compress(icc)
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
