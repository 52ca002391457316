"""Pictures on disk: what is read is upright colour or grey with what must not be lost beside it, and is written back whole.

Read: PNG, JPEG, TIFF, WebP and BMP, AVIF where Pillow has it, HEIC where pillow-heif is installed; the EXIF orientation is
applied and its tag dropped; palettes become RGB, CMYK becomes sRGB through its own profile, or by the standard's formula
where that is none; alpha, ICC profile, the descriptive EXIF tags, resolution, XMP, text and gamma are kept beside the
pixels. Files with 16 bits per sample go through `qdr.restore.deep`, because Pillow reads their colour in 8 bits without
saying so. An animation or a file of several pages is refused: all frames but the first would be lost.

Written: the format of the suffix; lossy ones at quality 95 and, where they can (all but WebP), without chroma subsampling.
What a format cannot hold is told.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, features
from scipy.ndimage import distance_transform_edt

from qdr.errors import QdrError, check_choice
from qdr.files import replacing
from qdr.images import decode
from qdr.restore import deep
from qdr.restore.tiles import Pixels

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".webp": ("WEBP", {"quality": 95}),
    ".bmp": ("BMP", {}),
}
PLUGINS: dict[str, tuple[str, dict[str, Any]]] = {
    ".avif": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
    ".heic": ("HEIF", {"quality": 95, "chroma": 444}),
    ".heif": ("HEIF", {"quality": 95, "chroma": 444}),
}
OPAQUE = ("JPEG", "BMP")
_COMMON = {"icc_profile": "colour profile", "exif": "EXIF", "xmp": "XMP"}
_KEPT = _COMMON | {"dpi": "resolution", "comment": "comment", "pnginfo": "PNG text or gamma"}
_KEEPS = {
    "PNG": {*_COMMON, "dpi", "pnginfo"},
    "JPEG": {*_COMMON, "dpi", "comment"},
    "TIFF": {*_COMMON, "dpi"},
    "BMP": {"dpi"},
}
_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
# Of EXIF what describes the picture: title, make, model, resolution, software, date, artist, host, rating, copyright; title
# to subject as Windows writes them; Exif and GPS blocks.
_TAGS = (0x010D, 0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298)
_WINDOWS_TAGS = tuple(range(0x9C9B, 0x9CA0))
_BLOCKS = (0x8769, 0x8825)
_SIDES = (0xA002, 0xA003)  # in the Exif block: width and height
_ORIENTED = re.compile(rb'tiff:Orientation="\d"|<tiff:Orientation>\d</tiff:Orientation>')
_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"tEXt", b"zTXt", b"iTXt")
_USUAL = (b"gAMA\0\0\xb1\x8f", b"sRGB", b"cHRM\0\0\x7a\x26\0\0\x80\x84")  # sRGB's
_CARRIED = (
    b"XML:com.adobe.xmp\0",
    b"Raw profile type exif\0",
    b"Raw profile type xmp\0",
)  # texts that are kept as XMP, EXIF


@dataclass(frozen=True)
class Picture:
    """An upright picture.

    Args:
        pixels: uint8 or uint16, [h, w] grey or [h, w, 3] RGB.
        alpha: [h, w] of the same type, or None.
        icc: the colour profile of `pixels`, or None.
        exif: the tags that describe it, or None.
        info: resolution, XMP, comment, chunks of a PNG, under the names that Pillow writes them by.
        notes: what was lost in reading it.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    info: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def formats() -> dict[str, tuple[str, dict[str, Any]]]:
    """The formats that are read and written in this installation, by suffix."""
    there = {"AVIF": features.check("avif"), "HEIF": _has_heif()}
    return FORMATS | {suffix: made for suffix, made in PLUGINS.items() if there[made[0]]}


def is_picture(path: Path) -> bool:
    """Whether the suffix is that of a picture."""
    return path.suffix.lower() in formats()


def check_output(path: Path) -> None:
    """Refuse a suffix that stands for no format that can be written."""
    check_choice(f"picture format of {path}", path.suffix.lower(), formats())


def read(path: Path) -> Picture:
    """Read a picture.

    Raises:
        QdrError: when it is missing, empty, damaged, too large, of several frames or of a kind not read here.
    """
    with decode.decoding(path, "a picture", "copy it again, or convert it to PNG"):
        return _read_deep(path) if deep.is_deep(path) else _read(path)


def restored(picture: Picture, model: Callable[[Pixels], Pixels]) -> Picture:
    """The picture with restored pixels.

    What nobody sees (alpha 0) may have any colour. It is replaced by the nearest visible one before restoring, so that it
    does not bleed, and comes back afterwards.
    """
    hidden = np.zeros(1, bool) if picture.alpha is None else picture.alpha == 0
    if not hidden.any():
        return replace(picture, pixels=model(picture.pixels))
    if hidden.all():
        return picture
    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    made = model(picture.pixels[tuple(nearest)])
    made[hidden] = picture.pixels[hidden]
    return replace(picture, pixels=made)


def write(picture: Picture, path: Path) -> list[str]:
    """Write a picture in the format of the suffix, whole or not at all; 16 bits only as PNG or TIFF, else rounded to 8.

    Returns:
        What was lost from file to file, a clause each.

    Raises:
        QdrError: on an unknown suffix, transparency the format cannot hold, or a folder that cannot be written.
    """
    check_output(path)
    kind, options = formats()[path.suffix.lower()]
    if picture.alpha is not None and kind in OPAQUE:
        raise QdrError(f"{path}: {kind} cannot hold the transparency of this picture: write .png, .webp or .tif")
    kept = {"icc_profile": picture.icc, "exif": picture.exif} | picture.info
    kept = {name: value for name, value in kept.items() if value}
    holds = _KEEPS.get(kind, _COMMON)
    lost = [_KEPT[name] for name, value in kept.items() if name not in holds and (name != "pnginfo" or _says(value))]
    notes = [*picture.notes] + ([f"{kind} holds no {', '.join(lost)}"] if lost else [])
    kept = {name: value for name, value in kept.items() if name in holds}
    if kind == "PNG":
        kept["pnginfo"] = _chunks(kept.get("pnginfo", []), kept.pop("xmp", b""))
    with replacing(path) as temporary:
        if kind == "TIFF" or (kind == "PNG" and picture.pixels.dtype == np.uint16):
            deep.write(picture.pixels, picture.alpha, kept, temporary, kind)
            return notes
        if picture.pixels.dtype == np.uint16:
            notes.append(f"16 bits per sample became 8, as {kind} has them")
        image = Image.fromarray(_eight(picture.pixels))
        if picture.alpha is not None:
            image.putalpha(Image.fromarray(_eight(picture.alpha)))
        image.save(temporary, kind, **options, **kept)
    return notes


def _read(path: Path) -> Picture:
    kinds = tuple(dict.fromkeys(kind for kind, _ in formats().values()))
    with decode.opened(path, kinds) as image:
        if (count := decode.frames(image)) > 1:
            raise QdrError(f"{path} holds {count} frames or pages: split it, or make it a video")
        icc, info, tags = image.info.get("icc_profile"), _beside(path, image.info), image.getexif()
        exif = _described(tags)
        notes = ["more than 8 bits per sample became 8"] if _is_reduced(path, image) else []
        upright: Image.Image = ImageOps.exif_transpose(image)
    flat, icc = _colour(path, upright, icc, notes)
    alpha = np.asarray(flat.getchannel("A")) if flat.mode in ("LA", "RGBA") else None
    if alpha is not None:
        flat = flat.convert(flat.mode.removesuffix("A"))
    return Picture(np.asarray(flat), alpha, icc, exif, info, tuple(notes))


def _read_deep(path: Path) -> Picture:
    with path.open("rb") as file:
        if file.read(4) == b"\x89PNG":
            with decode.opened(path, ("PNG",)) as image:
                tags, icc, info = image.getexif(), image.info.get("icc_profile"), _beside(path, image.info)
                exif = _described(tags)
        else:
            file.seek(0)
            tags = Image.Exif()
            tags.load_from_fp(file)
            exif, icc = _described(tags), tags.get(34675)
            unit = {2: 1.0, 3: 2.54}.get(tags.get(296, 2), 0.0)
            dpi = tuple(float(tags.get(tag, 0)) * unit for tag in (282, 283))
            info = _beside(path, {"xmp": tags.get(700), "dpi": None if 1 in dpi else dpi})  # 1: writers' "not known"
    return Picture(*deep.read(path, tags.get(0x0112, 1)), icc, exif, info)


def _beside(path: Path, found: dict[Any, Any]) -> dict[str, Any]:
    """Resolution, XMP and comment out of what Pillow found, and the chunks of a PNG that say something about it."""
    info = {name: found[name] for name in ("dpi", "comment") if found.get(name)}
    xmp = found.get("xmp") or found.get("XML:com.adobe.xmp") or b""
    if xmp := _ORIENTED.sub(b"", xmp.encode() if isinstance(xmp, str) else bytes(xmp)):
        info["xmp"] = xmp
    if not all(info.get("dpi", (1,))):
        del info["dpi"]
    chunks = []
    with path.open("rb") as file:
        png = file.read(8) == b"\x89PNG\r\n\x1a\n"
        while png and len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name not in _CHUNKS:
                file.seek(length, io.SEEK_CUR)
            elif not (data := file.read(length)).startswith(_CARRIED):
                chunks.append((name, data))
            file.seek(4, io.SEEK_CUR)
    return info | ({"pnginfo": chunks} if chunks else {})


def _chunks(chunks: list[tuple[bytes, bytes]], xmp: bytes) -> PngImagePlugin.PngInfo:
    made = PngImagePlugin.PngInfo()
    for name, data in chunks:
        made.add(name, data)
    if xmp:
        made.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return made


def _says(chunks: list[tuple[bytes, bytes]]) -> bool:
    """Whether chunks say more than that the picture is sRGB."""
    return not all((name + data).startswith(_USUAL) for name, data in chunks)


def _is_reduced(path: Path, image: Image.Image) -> bool:
    """Whether a file has more bits per sample than the 8 that its reader gives."""
    with path.open("rb") as file:
        head = file.read(4096)
    at = head.find(b"av1C")
    return image.info.get("bit_depth", 8) > 8 or (image.format == "AVIF" and at >= 0 and bool(head[at + 6] & 0x40))


def _has_heif() -> bool:
    try:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _described(exif: Image.Exif) -> bytes | None:
    kept = Image.Exif()
    kept.update({tag: exif[tag] for tag in (*_TAGS, *_WINDOWS_TAGS) if tag in exif})
    for block in _BLOCKS:
        if values := dict(exif.get_ifd(block)):
            if exif.get(0x0112, 1) > 4 and all(side in values for side in _SIDES):
                values[_SIDES[0]], values[_SIDES[1]] = values[_SIDES[1]], values[_SIDES[0]]
            kept[block] = values
    return kept.tobytes() if len(kept) else None


def _colour(path: Path, image: Image.Image, icc: bytes | None, notes: list[str]) -> tuple[Image.Image, bytes | None]:
    """The image in L, LA, RGB or RGBA, and the profile that then holds."""
    if image.mode == "CMYK":
        screen = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)) if icc else None
            made = profile and ImageCms.profileToProfile(image, profile, screen, outputMode="RGB")
        except (OSError, ImageCms.PyCMSError):
            notes.append("its CMYK profile is broken or none of CMYK, so it was converted without one")
            made = None
        return (made, screen.tobytes()) if made else (image.convert("RGB"), None)
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
