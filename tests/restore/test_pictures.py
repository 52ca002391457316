"""Pictures come back as they were but for what restoration changes."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
from PIL import Image, ImageCms, ImageOps

from qdr.errors import QdrError
from qdr.restore import deep
from qdr.restore.pictures import FORMATS, Picture, read, write

CAT = np.ascontiguousarray(skimage.data.chelsea()[:120, :171])
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CAT16 = (CAT.astype(np.uint16) * 257) ^ np.uint16(0x55)  # low bytes that 8 bits could not hold
ALPHA = np.linspace(0, 255, CAT.shape[0] * CAT.shape[1]).astype(np.uint8).reshape(CAT.shape[:2])
ALPHA16 = np.linspace(0, 65535, ALPHA.size).astype(np.uint16).reshape(ALPHA.shape)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_read_and_written(tmp_path: Path, suffix: str) -> None:
    write(Picture(CAT, icc=SRGB), tmp_path / f"a{suffix}")
    found = read(tmp_path / f"a{suffix}")
    assert found.pixels.shape == CAT.shape
    assert found.alpha is None
    assert np.abs(found.pixels.astype(int) - CAT).mean() < (2 if suffix in (".jpg", ".jpeg", ".webp") else 1e-9)
    assert found.icc == (None if suffix == ".bmp" else SRGB)


def test_jpeg_keeps_its_chroma(tmp_path: Path) -> None:
    write(Picture(CAT), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # sampling factors: 4:4:4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_orientation_is_applied_and_its_tag_dropped(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "a cat"
    Image.fromarray(CAT).save(tmp_path / f"in{suffix}", exif=exif, **FORMATS[suffix][1])
    with Image.open(tmp_path / f"in{suffix}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    found = read(tmp_path / f"in{suffix}")
    assert np.array_equal(found.pixels, expected)
    write(found, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.size == expected.shape[1::-1]
        assert image.getexif().get(0x0112, 1) == 1
        assert image.getexif()[0x010E] == "a cat"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_16_bits_is_that_of_8(tmp_path: Path, orientation: int) -> None:
    tag = [(0x0112, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", CAT16, photometric="rgb", extratags=tag, metadata=None)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(CAT)
    image.getexif()[0x0112] = orientation
    assert np.array_equal(read(tmp_path / "a.tif").pixels >> 8, np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette(tmp_path: Path, mode: str) -> None:
    Image.fromarray(CAT).convert(mode).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png").pixels
    assert found.ndim == (3 if mode == "P" else 2)
    assert np.array_equal(found, np.asarray(Image.fromarray(CAT).convert(mode).convert("RGB" if mode == "P" else "L")))


def test_palette_with_a_transparent_entry(tmp_path: Path) -> None:
    Image.fromarray(CAT).quantize(16).save(tmp_path / "a.png", transparency=3)
    found = read(tmp_path / "a.png")
    assert found.alpha is not None
    assert set(np.unique(found.alpha)) == {0, 255}


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(CAT).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    found = read(tmp_path / "a.jpg")
    assert np.abs(found.pixels.astype(int) - CAT).mean() < 4


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("grey", [False, True])
def test_alpha_passes_unchanged(tmp_path: Path, suffix: str, grey: bool) -> None:
    write(Picture(CAT[:, :, 0].copy() if grey else CAT, ALPHA), tmp_path / f"a{suffix}")
    assert np.array_equal(read(tmp_path / f"a{suffix}").alpha, ALPHA)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("alpha", [None, ALPHA16])
def test_16_bits_come_back_bit_for_bit(tmp_path: Path, suffix: str, grey: bool, alpha: np.ndarray | None) -> None:
    pixels = CAT16[:, :, 1].copy() if grey else CAT16
    write(Picture(pixels, alpha, SRGB), tmp_path / f"a{suffix}")
    found = read(tmp_path / f"a{suffix}")
    assert found.pixels.dtype == np.uint16
    assert np.array_equal(found.pixels, pixels)
    assert found.icc == SRGB
    assert (found.alpha is None) if alpha is None else np.array_equal(found.alpha, alpha)


def test_16_bits_in_an_8_bit_format_are_rounded(tmp_path: Path) -> None:
    write(Picture(CAT16), tmp_path / "a.bmp")
    assert np.array_equal(read(tmp_path / "a.bmp").pixels, np.rint(CAT16 / 257).astype(np.uint8))


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", None])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_16_bit_tiffs_of_others(tmp_path: Path, compression: str | None, planar: str) -> None:
    data = CAT16 if planar == "contig" else np.moveaxis(CAT16, 2, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="rgb", compression=compression, planarconfig=planar, metadata=None
    )
    assert np.array_equal(read(tmp_path / "a.tif").pixels, CAT16)


def test_transparency_is_not_lost_in_silence(tmp_path: Path) -> None:
    with pytest.raises(QdrError, match=r"a\.jpg: JPEG cannot hold the transparency"):
        write(Picture(CAT, ALPHA), tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("deep_file", [False, True])
def test_truncated_and_empty_files_are_named(tmp_path: Path, suffix: str, deep_file: bool) -> None:
    if deep_file and FORMATS[suffix][0] not in deep.FORMATS:
        pytest.skip("an 8-bit format")
    path = tmp_path / f"bad{suffix}"
    write(Picture(CAT16 if deep_file else CAT), path)
    whole = path.read_bytes()
    for length in (len(whole) // 2, 40, 20, 3):
        path.write_bytes(whole[:length])
        with pytest.raises(QdrError, match=rf"bad\{suffix} cannot be read as a picture .*: copy it again"):
            read(path)
    path.write_bytes(b"")
    with pytest.raises(QdrError, match=rf"bad\{suffix} is empty .*: copy it again"):
        read(path)
    path.unlink()
    with pytest.raises(QdrError, match=rf"bad\{suffix} does not exist"):
        read(path)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, bits: int) -> None:
    write(Picture(CAT if bits == 8 else CAT16), tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / "a.png").write_bytes(bytes(data))
    with pytest.raises(QdrError, match=r"a\.png holds too many pixels .*: cut it into parts"):
        read(tmp_path / "a.png")


def test_several_frames_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(CAT), Image.fromarray(CAT[::-1].copy())]
    for name in ("a.tif", "a.webp", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(QdrError, match="holds 2 frames"):
            read(tmp_path / name)


def test_kinds_that_are_not_read_are_named(tmp_path: Path) -> None:
    Image.fromarray(CAT[:, :, 0].astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(QdrError, match="mode F: convert it"):
        read(tmp_path / "a.tif")
    with pytest.raises(QdrError, match=r"unknown picture format of .*a\.gif"):
        write(Picture(CAT), tmp_path / "a.gif")
