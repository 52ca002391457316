"""Pictures that are broken, hostile, or of a kind that would lose something."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from tests.faults.fault import Fault, Inject

RESTORE = ("restore", "in.png", "out.png", "--task", "derain")
TRAIN = ("quantize", "--task", "derain", "--out", "out.onnx", "--images", "frames")
CAT = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)


def picture(pixels: np.ndarray = CAT) -> Image.Image:
    return Image.fromarray(pixels)


def save(name: str, image: Image.Image, kind: str = "PNG", **options: object) -> Inject:
    def inject(place: Path) -> None:
        (place / name).parent.mkdir(exist_ok=True)
        image.save(place / name, kind, **options)

    return inject


def write(name: str, data: bytes | Callable[[], bytes]) -> Inject:
    def inject(place: Path) -> None:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(data if isinstance(data, bytes) else data())

    return inject


def cut(name: str, image: Image.Image, kind: str, keep: float) -> Inject:
    def inject(place: Path) -> None:
        save(name, image, kind)(place)
        whole = (place / name).read_bytes()
        (place / name).write_bytes(whole[: int(len(whole) * keep)])

    return inject


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels of 16 bits, and which holds a kilobyte."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1000)))]
    made = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in [*chunks, (b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def float_tiff(place: Path) -> None:
    tifffile.imwrite(place / "in.tif", np.zeros((8, 8), np.float32))


def twelve_bits(place: Path) -> None:
    tifffile.imwrite(place / "in.tif", np.zeros((8, 8), np.uint16), photometric="minisblack", bitspersample=12)


def damaged(place: Path) -> None:
    """Sixteen bytes in the middle of the compressed pixels, the checksum of the chunk made to fit."""
    save("in.png", picture())(place)
    data = bytearray((place / "in.png").read_bytes())
    start = data.index(b"IDAT")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    data[start + 30 : start + 46] = bytes(16)
    data[start + 4 + length : start + 8 + length] = struct.pack(">I", zlib.crc32(data[start : start + 4 + length]))
    (place / "in.png").write_bytes(bytes(data))


def one_pixel(place: Path) -> None:
    (place / "data/scenes/train").mkdir(parents=True)
    picture(CAT[:1, :1].copy()).save(place / "data/scenes/train/tiny.png")


def odd_depth(place: Path) -> None:
    (place / "data/scenes/train").mkdir(parents=True)
    picture().save(place / "data/scenes/train/a.png")
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(place / "data/scenes/train/a.depth.png")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(touched) (w) file closefile\nshowpage\n"
GONE = "nothing; OUT is not written"
FAULTS = [
    Fault(
        "picture-cut",
        "a PNG cut in the middle",
        cut("in.png", picture(), "PNG", 0.5),
        RESTORE,
        "in.png cannot be read as a picture",
        GONE,
    ),
    Fault(
        "picture-damaged",
        "sixteen wrong bytes in a PNG's compressed pixels",
        damaged,
        RESTORE,
        "in.png cannot be read as a picture",
        GONE,
    ),
    Fault(
        "picture-empty",
        "a file of no bytes",
        write("in.png", b""),
        RESTORE,
        "in.png is empty (0 bytes): copy it again",
        GONE,
    ),
    Fault(
        "picture-text",
        "a text with the suffix .png",
        write("in.png", b"hello"),
        RESTORE,
        "in.png cannot be read as a picture",
        GONE,
    ),
    Fault(
        "picture-bomb",
        "a PNG of 1 kB that promises 60000x60000 pixels",
        write("in.png", png_of(60000, 60000)),
        RESTORE,
        "in.png holds too many pixels",
        GONE,
    ),
    Fault(
        "picture-no-pixels",
        "a PNG of 0x0 pixels",
        write("in.png", png_of(0, 0)),
        RESTORE,
        "in.png cannot be read as a picture",
        GONE,
    ),
    Fault(
        "picture-postscript",
        "PostScript, which would start Ghostscript, with the suffix .png",
        write("in.png", EPS),
        RESTORE,
        "in.png cannot be read as a picture",
        GONE,
    ),
    Fault(
        "picture-float",
        "a TIFF of 32-bit floats",
        float_tiff,
        ("restore", "in.tif", "out.tif", "--task", "derain"),
        "in.tif has samples of 32-bit floats: convert it",
        GONE,
    ),
    Fault(
        "picture-twelve-bits",
        "a TIFF of 12 bits per sample",
        twelve_bits,
        ("restore", "in.tif", "out.tif", "--task", "derain"),
        "in.tif has samples of 12-bit numbers: convert it",
        GONE,
    ),
    Fault(
        "picture-frames",
        "an animation of two frames",
        save("in.png", picture(), save_all=True, append_images=[picture(CAT[::-1].copy())]),
        RESTORE,
        "in.png holds 2 frames or pages",
        GONE,
    ),
    Fault(
        "picture-folder",
        "a folder with the name of a picture",
        lambda place: (place / "in.png").mkdir(),
        RESTORE,
        "in.png holds no pictures",
        GONE,
    ),
    Fault(
        "picture-over",
        "a target that is there already",
        lambda place: [save(name, picture())(place) for name in ("in.png", "out.png")],
        RESTORE,
        "out.png exists: name another file, or add --force",
        "nothing; OUT stays as it was",
    ),
    Fault(
        "images-16-bits",
        "a training image of 16 bits",
        write("frames/a.png", lambda: imagecodecs.png_encode(CAT.astype(np.uint16) * 257)),
        TRAIN,
        "a.png has 16 bits, which would be lost: convert it",
    ),
    Fault(
        "images-cmyk",
        "a training image in CMYK",
        save("frames/a.jpg", picture().convert("CMYK"), "JPEG"),
        TRAIN,
        "a.jpg has mode CMYK, which would be lost: convert it",
    ),
    Fault(
        "images-alpha",
        "a training image with transparency",
        save("frames/a.png", picture().convert("RGBA")),
        TRAIN,
        "a.png has transparency, which would be lost: convert it",
    ),
    Fault(
        "images-palette-alpha",
        "a training image whose palette has a transparent entry",
        save("frames/a.png", picture().quantize(16), transparency=3),
        TRAIN,
        "a.png has transparency, which would be lost: convert it",
    ),
    Fault(
        "images-frames",
        "a training image of two pages",
        save("frames/a.tif", picture(), "TIFF", save_all=True, append_images=[picture()]),
        TRAIN,
        "a.tif holds 2 frames or pages: split it",
    ),
    Fault(
        "images-cut",
        "a training image cut in the middle",
        cut("frames/a.jpg", picture(), "JPEG", 0.5),
        TRAIN,
        "a.jpg cannot be read as an image",
    ),
    Fault(
        "images-bomb",
        "a training image of 1 kB that promises 60000x60000 pixels",
        write("frames/a.png", png_of(60000, 60000)),
        TRAIN,
        "a.png holds too many pixels",
    ),
    Fault(
        "images-none", "a folder without images", lambda place: (place / "frames").mkdir(), TRAIN, "frames holds no images"
    ),
    Fault(
        "source-one-pixel",
        "a clean scene of one pixel",
        one_pixel,
        ("prepare", "derain"),
        "tiny.png gives 1x1 pixels, at least 16 a side are needed",
        "nothing; no pair is written",
    ),
    Fault(
        "source-depth",
        "a depth map of another size than its scene",
        odd_depth,
        ("prepare", "derain"),
        "a.png has another size than its depth map",
        "nothing; no pair is written",
    ),
]
