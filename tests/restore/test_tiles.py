"""A tiled image is the untiled one; memory is bounded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
from hypothesis import given, strategies as st
from PIL import Image
from scipy.ndimage import uniform_filter

from qdr.errors import QdrError
from qdr.restore import tiles
from qdr.restore.footprint import Footprint
from qdr.restore.restorer import Restorer
from qdr.restore.tiles import Tiling, cuts, restore_pixels, tiling
from qdr.runtimes.session import open_session, restore
from tests.engines import skip_where_sums_saturate

PEAK = """
import sys
from qdr.suite.bench.worker import peak_memory
from qdr.cli import main
code = main(sys.argv[1:])
assert "torch" not in sys.modules
print(code, peak_memory())
"""


class Blur:
    """A mean over (2 r + 1)^2 pixels with zeros outside, whose result depends on the place modulo 16, as strides make it."""

    name = "blur"

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self.shapes: set[tuple[int, ...]] = set()

    def run(self, image: np.ndarray) -> np.ndarray:
        self.shapes.add(image.shape)
        place = np.arange(image.shape[2])[:, None] % 16 + np.arange(image.shape[3]) % 16
        size = 2 * self.reach + 1
        mean = uniform_filter(image.astype(np.float64), (1, 1, size, size), mode="constant")
        return (mean * (1 + place / 32)).astype(np.float32)

    def close(self) -> None:
        """Nothing to release."""


def noisy(height: int, width: int) -> np.ndarray:
    photograph = Image.fromarray(skimage.data.astronaut()).resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 20, (height, width, 3)).astype(np.float32)
    return np.clip(np.asarray(photograph) + noise, 0, 255).astype(np.uint8)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 4))
def test_cuts_cover_an_axis_once_in_tiles_of_one_shape(length: int, extra: int, halo: int) -> None:
    halo, length = 16 * halo, 16 * length
    side = 2 * halo + 16 * extra
    made = cuts(length, side, halo)
    assert [i for cut in made for i in range(cut.first, cut.last)] == list(range(length))
    assert {cut.length for cut in made} == {min(side, length)}
    for cut in made:
        assert cut.start % 16 == 0
        assert 0 <= cut.start <= cut.start + cut.length <= length
        assert cut.first == 0 or cut.first - cut.start >= halo
        assert cut.last == length or cut.start + cut.length - cut.last >= halo


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 20), st.integers(0, 5), st.booleans(), st.booleans())
def test_tiled_equals_whole_for_any_size(height: int, width: int, reach: int, extra: int, grey: bool, deep: bool) -> None:
    image = np.random.default_rng(height * 1000 + width).random((height, width) if grey else (height, width, 3))
    pixels = (image * (65535 if deep else 255)).astype(np.uint16 if deep else np.uint8)
    halo = 16 * -(-reach // 16)
    how = Tiling(16, halo, 2 * halo + 16 * (1 + extra))
    whole = tiling(Footprint(16, reach, 1, False), "none")
    session = Blur(reach)
    tiled = restore_pixels(session, pixels, how)
    assert len(session.shapes) == 1
    expected = restore_pixels(session, pixels, whole)
    assert np.abs(tiled.astype(int) - expected).max() <= 1  # the running mean of scipy rounds


def test_a_halo_below_the_reach_would_be_seen() -> None:
    pixels = noisy(256, 256)
    seamed = restore_pixels(Blur(40), pixels, Tiling(16, 16, 64))
    whole = restore_pixels(Blur(40), pixels, Tiling(16, 16, None))
    assert np.abs(seamed.astype(int) - whole).max() > 10


@pytest.mark.parametrize("size", [(37, 50), (16, 16), (1, 40)])
def test_untiled_is_what_quality_was_measured_with(int8: Path, size: tuple[int, int]) -> None:
    pixels = noisy(*size)
    session = open_session("openvino", int8, "int8")
    assert np.array_equal(restore_pixels(session, pixels, Tiling(16, 80, None)), restore(session, pixels))


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("size", [(301, 423), (640, 129)])
def test_small_photographs_tiled(int8: Path, engine: str, size: tuple[int, int]) -> None:
    skip_where_sums_saturate(engine)
    _compare(int8, engine, size, "320")


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "size"), [("int8", (1500, 1100)), ("int8", (1237, 1011)), ("fp32", (1101, 947))])
def test_larger_photographs_tiled(int8: Path, fp32: Path, precision: str, size: tuple[int, int]) -> None:
    _compare(int8 if precision == "int8" else fp32, "openvino", size, "512")


def _compare(model: Path, engine: str, size: tuple[int, int], tile: str) -> None:
    pixels = noisy(*size)
    with Restorer(model=model, engine=engine, tile=tile, threads=2) as tiled:
        restored = tiled(pixels).astype(int)
    with Restorer(model=model, engine=engine, tile="none", threads=2) as whole:
        expected = whole(pixels)
    assert np.abs(expected.astype(int) - pixels).mean() > 1  # it does something
    assert len(np.unique(expected)) > 100
    assert np.abs(restored - expected).max() <= 1


def test_16_bits_are_restored_at_float_precision(int8: Path) -> None:
    pixels = noisy(64, 80)
    with Restorer(model=int8) as model:
        eight, sixteen = model(pixels), model(pixels.astype(np.uint16) * 257)
    assert np.abs(sixteen / 257 - eight).max() <= 0.5 + 1e-6
    assert np.unique(sixteen % 257).size > 100


def test_grey_is_the_luma_of_three_equal_channels(int8: Path) -> None:
    grey = noisy(64, 80)[:, :, 1].copy()
    with Restorer(model=int8) as model:
        colour = model(np.repeat(grey[:, :, None], 3, axis=2))
        restored = model(grey)
    assert restored.shape == grey.shape
    assert np.abs(restored - colour @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_auto_is_whole_up_to_a_megapixel_and_smaller_for_heavier_models(int8: Path) -> None:
    light, heavy = tiling(Footprint(8, 65, 316, True), "auto"), tiling(Footprint(8, 65, 2332, True), "auto")
    assert (light.whole, light.side, light.halo) == (2**20, 1024, 80)
    assert heavy.side is not None
    assert heavy.side < 512
    session = Blur(3)
    restore_pixels(session, np.zeros((1000, 1000, 3), np.uint8), light)
    assert session.shapes == {(1, 3, 1008, 1008)}


@pytest.mark.parametrize(("free", "pixels"), [(64 * 2**30, 27183337), (4 * 2**30, 6795834), (0, 2**20)])
def test_what_sees_the_whole_image_is_cut_where_memory_ends(free: int, pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    assert tiling(Footprint(8, None, 316, True), "auto").whole == pixels


def test_an_engine_of_one_size_gets_that_size(int8: Path) -> None:
    session = Blur(3)
    how = tiling(Footprint(8, 3, 1, True), "auto", fixed=(128, 160))
    for height, width in ((20, 30), (300, 100), (128, 160), (129, 161)):
        pixels = noisy(height, width)
        tiled, whole = restore_pixels(session, pixels, how), restore_pixels(Blur(3), pixels, Tiling(16, 16, None))
        assert np.array_equal(tiled[:-3, :-3], whole[:-3, :-3])  # at the borders a smaller picture is extended further
    assert session.shapes == {(1, 3, 128, 160)}
    with pytest.raises(QdrError, match="takes tiles of 160x128 only"):
        tiling(Footprint(8, 3, 1, True), "256", fixed=(128, 160))


def test_fixed_tiles_smaller_than_the_reach_still_cover_the_image() -> None:
    how = tiling(Footprint(8, 65, 1, True), "auto", fixed=(100, 100))
    assert how.halo == 24
    assert restore_pixels(Blur(3), noisy(333, 257), how).shape == (333, 257, 3)


@pytest.mark.parametrize(
    ("tile", "message"), [("big", "must be auto, none or"), ("64", "take 320 or more"), ("176", "take 320 or more")]
)
def test_mistakes(tile: str, message: str) -> None:
    with pytest.raises(QdrError, match=message):
        tiling(Footprint(8, 65, 316, True), tile)


def _peak(*arguments: str) -> float:
    done = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True)
    code, mebibytes = done.stdout.splitlines()[-1].split()
    assert code == "0", done.stderr
    return float(mebibytes)


def test_memory_is_that_of_a_tile(int8: Path, tmp_path: Path) -> None:
    Image.fromarray(noisy(1500, 2000)).save(tmp_path / "in.png", compress_level=1)
    given = ["restore", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--model", str(int8), "--force"]
    tiled, whole = _peak(*given, "--tile", "320"), _peak(*given, "--tile", "none")
    assert tiled < 350
    assert tiled < whole - 150


@pytest.mark.slow
def test_24_megapixels_in_1_gibibyte(int8: Path, tmp_path: Path) -> None:
    Image.fromarray(noisy(4000, 6000)).save(tmp_path / "in.jpg", quality=95)
    assert _peak("restore", str(tmp_path / "in.jpg"), str(tmp_path / "out.jpg"), "--model", str(int8)) < 1024
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (6000, 4000)
