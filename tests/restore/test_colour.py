"""Frames come back bit for bit where the model changes nothing, and right where it does."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from qdr.errors import QdrError
from qdr.restore import colour
from qdr.restore.video import restore_video

av = pytest.importorskip("av")
CAT = np.ascontiguousarray(skimage.data.chelsea()[:64, :80])
GREY = np.repeat(np.linspace(0, 255, 80).astype(np.uint8)[None, :, None].repeat(64, 0), 3, 2)
MATRICES = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
FORMATS = [
    "yuv420p",
    "yuv422p",
    "yuv440p",
    "yuv444p",
    "yuv411p",
    "yuv410p",
    "yuva420p",
    "yuv420p10le",
    "yuv422p12le",
    "yuv444p16le",
    "yuva444p10le",
    "nv12",
    "p010le",
    "yuyv422",
    "gray",
    "gray10le",
    "bgr0",
    "bgra",
    "rgb24",
    "gbrp",
    "gbrap",
    "gbrp10le",
    "rgb48le",
    "rgba64le",
]


def coded(pixels: np.ndarray, matrix: int, full: bool, bits: int = 8) -> list[np.ndarray]:
    """Y', Cb and Cr of RGB in [0, 1] as H.273 says, in double precision."""
    (kr, kb), unit = MATRICES[matrix], 2 ** (bits - 8)
    y = pixels @ np.array([kr, 1 - kr - kb, kb])
    blue, red = (pixels[..., 2] - y) / (2 - 2 * kb), (pixels[..., 0] - y) / (2 - 2 * kr)
    top = 256 * unit - 1
    luma, start, chroma = (top, 0, top) if full else (219 * unit, 16 * unit, 224 * unit)
    return [luma * y + start, chroma * blue + 128 * unit, chroma * red + 128 * unit]


def frame(planes: list[np.ndarray], kind: str, matrix: int, full: bool) -> object:
    made = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], kind)
    for plane, values in zip(made.planes, planes, strict=True):
        kept = np.frombuffer(plane, np.uint8 if kind[-1] == "p" else np.uint16).reshape(plane.height, -1)
        kept[:, : plane.width] = np.rint(values[: plane.height, : plane.width])
    made.colorspace, made.color_range = matrix, 1 + full
    return made


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("full", [False, True])
def test_what_is_not_changed_is_the_same_bit_for_bit(kind: str, full: bool) -> None:
    wide = np.ascontiguousarray(skimage.data.chelsea()[:64, :256])  # lines without padding
    given = av.VideoFrame.from_ndarray(wide, format="rgb24").reformat(format=kind, dst_color_range=1 + full)
    given.colorspace, given.color_range = 1, 1 + full
    pixels = colour.rgb(given)
    made = colour.frame_of(pixels, pixels, given, kind, *wide.shape[:2])
    assert (made.format.name, made.colorspace, made.color_range) == (kind, 1, 1 + full)
    assert [bytes(plane) for plane in made.planes] == [bytes(plane) for plane in given.planes]


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("kind", ["yuv444p", "yuv444p10le"])
def test_both_directions_are_those_of_the_standard(matrix: int, full: bool, kind: str) -> None:
    bits = 10 if kind.endswith("10le") else 8
    given = frame(coded(CAT / 255, matrix, full, bits), kind, matrix, full)
    pixels = colour.rgb(given)  # type: ignore[arg-type]
    levels = np.iinfo(pixels.dtype).max
    off = pixels / levels * 255 - CAT
    assert abs(off.mean()) < 0.1
    assert np.abs(off).max() < 2.1  # one code of chroma is up to 1.9 levels of blue
    brighter = np.minimum(pixels.astype(int) + levels // 10, levels).astype(pixels.dtype)
    made = colour.frame_of(brighter, pixels, given, kind, 64, 80)  # type: ignore[arg-type]
    right = coded(CAT / 255 + (brighter / levels - pixels / levels), matrix, full, bits)
    for plane, values in zip(made.planes, right, strict=True):
        kept = np.frombuffer(plane, np.uint8 if bits == 8 else np.uint16).reshape(plane.height, -1)[:, : plane.width]
        assert np.abs(kept - values).max() <= 1.01  # rounded twice


@pytest.mark.parametrize("kind", ["yuv420p", "yuv422p", "yuv420p10le", "yuv444p"])
@pytest.mark.parametrize("full", [False, True])
def test_greys_stay_grey(kind: str, full: bool) -> None:
    given = frame(coded(GREY / 255, 1, full), "yuv444p", 1, full)
    pixels = colour.rgb(given)  # type: ignore[arg-type]
    assert np.ptp(pixels, axis=2).max() == 0
    lit = np.minimum(pixels + np.uint8(30), 255).astype(np.uint8)
    lit[pixels > 225] = 255
    made = colour.rgb(colour.frame_of(lit, pixels, given, kind, 64, 80))  # type: ignore[arg-type]
    assert np.ptp(made, axis=2).max() == 0
    assert np.abs(made / np.iinfo(made.dtype).max * 255 - lit).max() < 1.01


@pytest.mark.parametrize("matrix", [*MATRICES, 2])
@pytest.mark.parametrize("full", [False, True])
def test_three_passes_of_a_model_that_changes_nothing(tmp_path: Path, matrix: int, full: bool) -> None:
    source = tmp_path / "0.mkv"
    with av.open(str(source), "w") as made:
        stream = made.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = 64, 80, "yuv420p"
        for i, pixels in enumerate((CAT, GREY)):
            planes = coded(pixels / 255, matrix if matrix in MATRICES else 5, full)
            given = frame([planes[0], planes[1][::2, ::2], planes[2][::2, ::2]], "yuv420p", matrix, full)
            given.pts, given.time_base = i, Fraction(1, 24)  # type: ignore[attr-defined]
            made.mux(stream.encode(given))
        made.mux(stream.encode(None))
    for i in range(3):
        restore_video(tmp_path / f"{i}.mkv", tmp_path / f"{i + 1}.mkv", lambda pixels: pixels)
    for before, after in zip(decoded(source), decoded(tmp_path / "3.mkv"), strict=True):
        assert np.array_equal(before, after)
    assert np.ptp(decoded(source)[1], axis=2).max() == 0


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_rgb_made_into_another_format_keeps_its_brightness(tmp_path: Path, suffix: str) -> None:
    with av.open(str(tmp_path / "in.mkv"), "w") as made:
        stream = made.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = 64, 80, "bgr0"
        given = av.VideoFrame.from_ndarray(CAT, format="rgb24").reformat(format="bgr0")
        given.pts, given.time_base = 0, Fraction(1, 24)
        made.mux(stream.encode(given))
        made.mux(stream.encode(None))
    notes = restore_video(tmp_path / "in.mkv", tmp_path / f"out{suffix}", lambda pixels: pixels).notes
    assert any("half the resolution (bgr0 became yuv420p)" in note for note in notes) == (suffix == ".mp4")
    off = decoded(tmp_path / f"out{suffix}")[0].astype(float) - CAT
    assert np.abs(off.mean((0, 1))).max() < 1


def test_a_matrix_that_is_not_known_is_named() -> None:
    given = av.VideoFrame(16, 16, "yuv420p")
    given.colorspace = 8
    with pytest.raises(QdrError, match="colour matrix 8"):
        colour.rgb(given)


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as given:
        return [colour.rgb(made) for made in given.decode(video=0)]
