"""Pictures come back as they were but for what restoration changes."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from scipy.ndimage import uniform_filter

from qdr.errors import QdrError
from qdr.restore.pictures import FORMATS, Picture, formats, read, restored, write

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
    if deep_file and FORMATS[suffix][0] not in ("PNG", "TIFF"):
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
    with pytest.raises(QdrError, match="samples of 32-bit floats: convert it to integers of 8 bits"):
        read(tmp_path / "a.tif")
    with pytest.raises(QdrError, match=r"unknown picture format of .*a\.gif"):
        write(Picture(CAT), tmp_path / "a.gif")


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="A cat"/></x:xmpmeta>'
UPRIGHT_XMP = XMP.replace(b'tiff:Orientation="6"', b"")


def described(kind: str, path: Path, bits: int) -> None:
    """A picture with everything beside its pixels that its format holds."""
    exif = Image.Exif()
    exif[0x010E], exif[0x0132], exif[0x9C9B] = "a cat", "2024:01:02 03:04:05", b"c\0a\0t\0\0\0"
    exif[0x8769] = {0x9003: "2024:01:02 03:04:05", 0x920A: 35.0, 0xA434: "a lens"}
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 15.0)}
    text = PngImagePlugin.PngInfo()
    text.add(b"gAMA", struct.pack(">I", 100000))
    text.add_text("Title", "Chelsea")
    text.add_itxt("Author", "Stéfan", "fr", "Auteur")
    info = {"pnginfo": [chunk[:2] for chunk in text.chunks]} if kind == "PNG" else {"comment": b"a comment"}
    picture = Picture(CAT if bits == 8 else CAT16, None, SRGB, exif.tobytes(), {"dpi": (300.0, 300.0), "xmp": XMP} | info)
    write(picture, path)


@pytest.mark.parametrize(
    ("suffix", "bits"), [(".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".jpg", 8), (".webp", 8)]
)
def test_what_lies_beside_the_pixels_is_kept(tmp_path: Path, suffix: str, bits: int) -> None:
    kind = FORMATS[suffix][0]
    described(kind, tmp_path / f"in{suffix}", bits)
    assert write(read(tmp_path / f"in{suffix}"), tmp_path / f"out{suffix}") == []
    assert read(tmp_path / f"out{suffix}").pixels.dtype == (np.uint16 if bits == 16 else np.uint8)
    with Image.open(tmp_path / f"out{suffix}") as image:
        exif = image.getexif()
        assert exif[0x010E] == "a cat"
        assert exif[0x0132] == "2024:01:02 03:04:05"
        assert bytes(exif[0x9C9B]).startswith(b"c\0a\0t\0")
        block = exif.get_ifd(0x8769)
        assert (block[0x9003], float(block[0x920A]), block[0xA434]) == ("2024:01:02 03:04:05", 35, "a lens")
        assert tuple(map(float, exif.get_ifd(0x8825)[2])) == (48, 8, 15)
        assert image.info["icc_profile"] == SRGB
        assert bytes(image.info["xmp"]).strip(b"\0") == UPRIGHT_XMP
        if kind != "WEBP":
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        if kind == "JPEG":
            assert image.info["comment"] == b"a comment"
        if kind == "PNG":
            assert image.info["gamma"] == 1
            assert image.text["Title"] == "Chelsea"
            assert (image.text["Author"], image.text["Author"].lang) == ("Stéfan", "fr")


def test_text_behind_the_pixels_of_a_png_is_kept(tmp_path: Path) -> None:
    Image.fromarray(CAT).save(tmp_path / "in.png")
    data = (tmp_path / "in.png").read_bytes()
    body = b"tEXtTitle\0Chelsea"
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "in.png").write_bytes(data[:-12] + chunk + data[-12:])
    write(read(tmp_path / "in.png"), tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.text == {"Title": "Chelsea"}


def test_what_a_format_cannot_hold_is_told(tmp_path: Path) -> None:
    described("PNG", tmp_path / "in.png", 16)
    picture = read(tmp_path / "in.png")
    assert write(picture, tmp_path / "a.jpg") == [
        "JPEG holds no PNG text or gamma",
        "16 bits per sample became 8, as JPEG has them",
    ]
    assert write(picture, tmp_path / "a.bmp")[0] == "BMP holds no colour profile, EXIF, XMP, PNG text or gamma"
    assert (
        write(Picture(CAT, info={"pnginfo": [(b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0")]}), tmp_path / "b.jpg")
        == []
    )


@pytest.mark.parametrize("icc", [b"not a profile", SRGB])
def test_cmyk_with_a_broken_or_foreign_profile_is_converted_without_it(tmp_path: Path, icc: bytes) -> None:
    Image.fromarray(CAT).convert("CMYK").save(tmp_path / "plain.jpg", quality=95)
    Image.fromarray(CAT).convert("CMYK").save(tmp_path / "a.jpg", quality=95, icc_profile=icc)
    found = read(tmp_path / "a.jpg")
    assert np.array_equal(found.pixels, read(tmp_path / "plain.jpg").pixels)
    assert found.icc is None
    assert write(found, tmp_path / "out.jpg") == [
        "its CMYK profile is broken or none of CMYK, so it was converted without one"
    ]


@pytest.mark.parametrize("grey", [False, True])
def test_colour_that_nobody_sees_does_not_bleed(grey: bool) -> None:
    alpha = np.zeros(CAT.shape[:2], np.uint8)
    alpha[20:80, 30:100], alpha[20:80, 30:50] = 255, 1
    pixels = CAT[:, :, 1].copy() if grey else CAT
    other = pixels.copy()
    other[alpha == 0] = 255 if grey else (0, 255, 0)

    def blur(given: np.ndarray) -> np.ndarray:
        return uniform_filter(given, (9, 9, 1)[: given.ndim])

    one, two = (restored(Picture(given, alpha), blur).pixels for given in (pixels, other))
    assert np.array_equal(one[alpha > 0], two[alpha > 0])
    assert np.array_equal(two[alpha == 0], other[alpha == 0])
    assert not np.array_equal(one[alpha > 0], pixels[alpha > 0])
    assert np.array_equal(restored(Picture(other, 0 * alpha), blur).pixels, other)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (CAT.astype(np.float32) / 255, "32-bit floats"),
        (CAT.astype(np.float16), "16-bit floats"),
        (CAT.astype(np.int16), "16-bit signed integers"),
        (CAT.astype(np.uint32), "32-bit numbers"),
    ],
)
def test_samples_that_are_not_read_are_named(tmp_path: Path, samples: np.ndarray, said: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb")
    with pytest.raises(QdrError, match=f"samples of {said}: convert it to integers of 8 bits .* or 16 bits"):
        read(tmp_path / "a.tif")


def test_twelve_bits_are_not_taken_for_sixteen(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", CAT16[:, :, 0] >> 4, photometric="minisblack", bitspersample=12)
    with pytest.raises(QdrError, match="samples of 12-bit numbers"):
        read(tmp_path / "a.tif")


def test_a_person_can_raise_the_limit_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, pixels in (("a.png", CAT), ("b.png", CAT16), ("c.tif", CAT16)):
        write(Picture(pixels), tmp_path / name)
        monkeypatch.setenv("QDR_MAX_PIXELS", "1000")
        with pytest.raises(QdrError, match=r"too many pixels .*: cut it into parts, or set QDR_MAX_PIXELS"):
            read(tmp_path / name)
        monkeypatch.setenv("QDR_MAX_PIXELS", str(CAT.shape[0] * CAT.shape[1]))
        read(tmp_path / name)
    for wrong in ("0", "many", "-1", ""):
        monkeypatch.setenv("QDR_MAX_PIXELS", wrong)
        with pytest.raises(QdrError, match="QDR_MAX_PIXELS must be a number"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_formats_of_plugins(tmp_path: Path, suffix: str) -> None:
    if suffix not in formats():
        pytest.skip("not in this installation")
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    write(Picture(CAT, None, SRGB, exif.tobytes()), tmp_path / f"a{suffix}")
    found = read(tmp_path / f"a{suffix}")
    assert np.abs(found.pixels.astype(int) - CAT).mean() < 3
    assert found.icc == SRGB
    assert write(found, tmp_path / f"b{suffix}") == []
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert image.getexif()[0x010E] == "a cat"
