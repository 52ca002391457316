"""Metrics against independent implementations, and their laws."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from skimage.data import astronaut
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from qdr.errors import QdrError
from qdr.metrics.perceptual import Lpips
from qdr.metrics.protocol import PROTOCOLS, compared, protocol
from qdr.metrics.psnr import CEILING, psnr
from qdr.metrics.recovery import gain_recovery, psnr_ratio
from qdr.metrics.ssim import RADIUS, ssim

RGB = protocol("rgb-full")


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    clean = astronaut()[100:260, 100:292]
    noise = np.random.default_rng(0).normal(0, 12, clean.shape)
    return np.clip(clean + noise, 0, 255).astype(np.uint8), clean


def test_psnr_equals_torchmetrics(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (torch.from_numpy(x).double() for x in pair)
    assert psnr(*pair, RGB) == pytest.approx(float(peak_signal_noise_ratio(a, b, data_range=255.0)), abs=1e-4)


def test_ssim_equals_scikit_image_inside_the_border(pair: tuple[np.ndarray, np.ndarray]) -> None:
    settings_ = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 255,
        "channel_axis": 2,
    }
    _, full = structural_similarity(*(x.astype(np.float64) for x in pair), full=True, **settings_)
    expected = full[RADIUS:-RADIUS, RADIUS:-RADIUS].mean()
    assert ssim(*pair, RGB) == pytest.approx(expected, abs=1e-6)


def test_ssim_is_near_torchmetrics(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (torch.from_numpy(x.transpose(2, 0, 1)[None].copy()).double() for x in pair)
    other = structural_similarity_index_measure(a, b, sigma=1.5, kernel_size=11, data_range=255.0)
    assert ssim(*pair, RGB) == pytest.approx(float(other), abs=2e-3)  # it pads where we leave out


@pytest.mark.parametrize("name", PROTOCOLS)
def test_equal_images_are_perfect_and_finite(pair: tuple[np.ndarray, np.ndarray], name: str) -> None:
    assert psnr(pair[1], pair[1], protocol(name)) == CEILING
    assert ssim(pair[1], pair[1], protocol(name)) == pytest.approx(1)


@given(st.integers(1, 60), st.integers(0, 180))
def test_psnr_of_a_constant_offset(offset: int, level: int) -> None:
    a = np.full((4, 4, 3), level, np.uint8)
    assert psnr(a + np.uint8(offset), a, RGB) == pytest.approx(20 * math.log10(255 / offset))


@given(st.integers(1, 60), st.integers(0, 180))
def test_limited_range_flatters_by_exactly_1_32_db(offset: int, level: int) -> None:
    a = np.full((4, 4, 3), level, np.uint8)
    b = a + np.uint8(offset)
    gain = psnr(b, a, protocol("y-limited")) - psnr(b, a, protocol("y-full"))
    assert gain == pytest.approx(20 * math.log10(255 / 219))


@settings(deadline=None)
@given(st.integers(0, 2**31))
def test_ssim_is_symmetric_and_at_most_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 256, (16, 14, 3), np.uint8) for _ in range(2))
    assert ssim(a, b, RGB) == pytest.approx(ssim(b, a, RGB))
    assert -1 <= ssim(a, b, RGB) <= 1


def test_golden(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert psnr(*pair, RGB) == pytest.approx(26.9, abs=0.6)
    assert psnr(*pair, protocol("y-limited")) > psnr(*pair, protocol("y-full")) > psnr(*pair, RGB)


def test_what_is_not_an_8_bit_rgb_image() -> None:
    with pytest.raises(QdrError, match="uint8 RGB"):
        compared(np.zeros((4, 4, 3)), RGB)  # type: ignore[arg-type]
    with pytest.raises(QdrError, match="sides of at least 11"):
        ssim(np.zeros((8, 20, 3), np.uint8), np.zeros((8, 20, 3), np.uint8), RGB)
    with pytest.raises(QdrError, match="did you mean 'rgb-full'"):
        protocol("rgb-ful")


@given(st.floats(20, 40), st.floats(0.5, 20))
def test_recovery_is_zero_for_the_input_and_one_for_fp32(degraded: float, gain: float) -> None:
    fp32 = degraded + gain
    assert gain_recovery(degraded, fp32, degraded) == 0
    assert gain_recovery(fp32, fp32, degraded) == pytest.approx(1)
    assert psnr_ratio(degraded, fp32) > 0.4, "the ratio flatters a model that does nothing"
    assert math.isnan(gain_recovery(30, degraded, degraded))


def test_lpips_says_why_it_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(QdrError, match=r"unavailable: its backbone .* does not exist"):
        Lpips(tmp_path / "alexnet.pth")
    (tmp_path / "alexnet.pth").touch()
    try:
        import lpips  # noqa: F401
    except ImportError:
        with pytest.raises(QdrError, match=r"pip install -c constraints\.txt -e '\.\[lpips\]'"):
            Lpips(tmp_path / "alexnet.pth")
