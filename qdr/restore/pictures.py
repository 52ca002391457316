"""Pictures on disk: what is read is upright colour or grey with what must not be lost beside it, and is written back whole.

Read: PNG, JPEG, TIFF, WebP and BMP; the EXIF orientation is applied and its tag dropped; palettes become RGB, CMYK becomes
sRGB through its own profile; alpha, ICC profile and the descriptive EXIF tags are kept beside the pixels. Files with 16
bits per sample go through `qdr.restore.deep`, because Pillow reads their colour in 8 bits without saying so. An animation
or a file of several pages is refused: all frames but the first would be lost.

Written: the format of the suffix; JPEG and WebP at quality 95, JPEG without chroma subsampling.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from qdr.data import decode
from qdr.errors import QdrError, check_choice
from qdr.paths import replacing
from qdr.restore import deep
from qdr.restore.tiles import Pixels

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".tif": ("TIFF", {"compression": "tiff_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_deflate"}),
    ".webp": ("WEBP", {"quality": 95}),
    ".bmp": ("BMP", {}),
}
OPAQUE = ("JPEG", "BMP")
_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
# Of EXIF what describes the picture: description, make, model, software, date, artist, copyright, Exif and GPS blocks.
_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
_BLOCKS = (0x8769, 0x8825)


@dataclass(frozen=True)
class Picture:
    """An upright picture.

    Args:
        pixels: uint8 or uint16, [h, w] grey or [h, w, 3] RGB.
        alpha: [h, w] of the same type, or None.
        icc: the colour profile of `pixels`, or None.
        exif: the tags that describe it, or None (always at 16 bits).
    """

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None
    exif: bytes | None = None


def is_picture(path: Path) -> bool:
    """Whether the suffix is that of a picture."""
    return path.suffix.lower() in FORMATS


def check_output(path: Path) -> None:
    """Refuse a suffix that stands for no format that can be written."""
    check_choice(f"picture format of {path}", path.suffix.lower(), FORMATS)


def read(path: Path) -> Picture:
    """Read a picture.

    Raises:
        QdrError: when it is missing, empty, damaged, too large, of several frames or of a kind not read here.
    """
    with decode.decoding(path, "a picture", "copy it again, or convert it to PNG"):
        return Picture(*deep.read(path)) if deep.is_deep(path) else _read(path)


def write(picture: Picture, path: Path) -> None:
    """Write a picture in the format of the suffix, whole or not at all; 16 bits only as PNG or TIFF, else rounded to 8.

    Raises:
        QdrError: on an unknown suffix, transparency the format cannot hold, or a folder that cannot be written.
    """
    check_output(path)
    kind, options = FORMATS[path.suffix.lower()]
    if picture.alpha is not None and kind in OPAQUE:
        raise QdrError(f"{path}: {kind} cannot hold the transparency of this picture: write .png, .webp or .tif")
    with replacing(path) as temporary:
        if picture.pixels.dtype == np.uint16 and kind in deep.FORMATS:
            deep.write(picture.pixels, picture.alpha, picture.icc, temporary, kind)
            return
        image = Image.fromarray(_eight(picture.pixels))
        if picture.alpha is not None:
            image.putalpha(Image.fromarray(_eight(picture.alpha)))
        kept = {name: value for name, value in (("icc_profile", picture.icc), ("exif", picture.exif)) if value}
        image.save(temporary, kind, **options, **kept)


def _read(path: Path) -> Picture:
    with decode.opened(path) as image:
        if (count := decode.frames(image)) > 1:
            raise QdrError(f"{path} holds {count} frames or pages: split it, or make it a video")
        icc, exif = image.info.get("icc_profile"), _described(image.getexif())
        upright: Image.Image = ImageOps.exif_transpose(image)
    flat, icc = _colour(path, upright, icc)
    alpha = np.asarray(flat.getchannel("A")) if flat.mode in ("LA", "RGBA") else None
    if alpha is not None:
        flat = flat.convert(flat.mode.removesuffix("A"))
    return Picture(np.asarray(flat), alpha, icc, exif)


def _described(exif: Image.Exif) -> bytes | None:
    kept = Image.Exif()
    kept.update({tag: exif[tag] for tag in _TAGS if tag in exif})
    for block in _BLOCKS:
        if values := exif.get_ifd(block):
            kept[block] = dict(values)
    return kept.tobytes() if len(kept) else None


def _colour(path: Path, image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None]:
    """The image in L, LA, RGB or RGBA, and the profile that then holds."""
    if image.mode == "CMYK":
        if icc is None:
            return image.convert("RGB"), None
        screen = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        made = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), screen, outputMode="RGB")
        assert made is not None
        return made, screen.tobytes()
    if image.has_transparency_data and image.mode in ("P", "RGB", "L"):
        return image.convert("LA" if image.mode == "L" else "RGBA"), icc
    if image.mode in _MODES:
        return image.convert(_MODES[image.mode]), icc
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise QdrError(f"{path} has samples of mode {image.mode}: convert it to RGB of 8 or 16 bits")
    return image, icc


def _eight(samples: Pixels) -> Pixels:
    """8 bits of 8 or 16: v / 257 rounded to nearest."""
    return samples if samples.dtype == np.uint8 else ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
