"""Laws of the metrics, and values worked out by hand. Other implementations: test_oracles.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from skimage.data import astronaut

from qdr.errors import QdrError
from qdr.metrics.protocol import PROTOCOLS, compared, protocol
from qdr.metrics.psnr import CEILING, psnr
from qdr.metrics.recovery import gain_recovery, psnr_ratio
from qdr.metrics.ssim import C1, C2, SIGMA, ssim

RGB = protocol("rgb-full")
METRICS = {"psnr": psnr, "ssim": ssim}
BOTH = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
ALL = pytest.mark.parametrize("name", PROTOCOLS)
seeds = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    clean = astronaut()[100:260, 100:292]
    noise = np.random.default_rng(0).normal(0, 12, clean.shape)
    return np.clip(clean + noise, 0, 255).astype(np.uint8), clean


def two(seed: int, size: tuple[int, int] = (34, 31)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(2))
    return a, b


@ALL
def test_equal_images_are_perfect_and_finite(pair: tuple[np.ndarray, np.ndarray], name: str) -> None:
    assert psnr(pair[1], pair[1], protocol(name)) == CEILING
    assert ssim(pair[1], pair[1], protocol(name)) == pytest.approx(1)


@given(st.integers(1, 60), st.integers(0, 180))
def test_psnr_of_a_constant_offset(offset: int, level: int) -> None:
    a = np.full((4, 4, 3), level, np.uint8)
    assert psnr(a + np.uint8(offset), a, RGB) == pytest.approx(20 * math.log10(255 / offset))


def test_psnr_by_hand() -> None:
    """One of 4 x 4 x 3 values is off by 12: MSE 3. Its luma, green, by 7.044: MSE 7.044^2 / 16."""
    a = np.full((4, 4, 3), 100, np.uint8)
    b = a.copy()
    b[1, 2, 1] += 12
    assert psnr(b, a, RGB) == pytest.approx(10 * math.log10(255**2 / 3), abs=1e-12)
    assert psnr(b, a, protocol("y-full")) == pytest.approx(10 * math.log10(255**2 * 16 / 7.044**2), abs=1e-12)


@given(seeds)
def test_ssim_of_a_single_window_by_hand(seed: int) -> None:
    """11x11 pixels have one Gaussian window, 7x7 one uniform one; its moments written out."""
    line = [math.exp(-(i**2) / (2 * SIGMA**2)) for i in range(-5, 6)]
    weights = np.array([[u * v for v in line] for u in line])[..., None]
    x, y = (image.astype(np.float64) for image in two(seed, (11, 11)))

    def mean(z: np.ndarray) -> np.ndarray:
        return (weights * z).sum((0, 1)) / weights.sum()

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean((x - mx) ** 2), mean((y - my) ** 2), mean((x - mx) * (y - my))
    expected = (2 * mx * my + C1) * (2 * cov + C2) / ((mx**2 + my**2 + C1) * (vx + vy + C2))
    assert ssim(*two(seed, (11, 11)), RGB) == pytest.approx(expected.mean(), abs=1e-12)

    channels = []
    for x, y in zip(*(image.astype(np.float64).reshape(49, 3).T for image in two(seed, (7, 7))), strict=True):
        (vx, cov), (_, vy) = np.cov(x, y)
        mx, my = x.mean(), y.mean()
        channels.append((2 * mx * my + C1) * (2 * cov + C2) / ((mx**2 + my**2 + C1) * (vx + vy + C2)))
    assert ssim(*two(seed, (7, 7)), protocol("rgb-uniform7")) == pytest.approx(np.mean(channels), abs=1e-12)


@given(seeds)
def test_limited_range_flatters_by_exactly_1_32_db(seed: int) -> None:
    gain = psnr(*two(seed), protocol("y-limited")) - psnr(*two(seed), protocol("y-full"))
    assert gain == pytest.approx(20 * math.log10(255 / 219), abs=1e-9)
    assert gain == pytest.approx(1.32192, abs=1e-5)


@given(seeds, st.integers(1, 30), st.integers(1, 10))
def test_psnr_falls_as_noise_grows(seed: int, factor: int, more: int) -> None:
    pattern = np.random.default_rng(seed).integers(-3, 4, (32, 32, 3))
    pattern[0, 0] = pattern[15, 15] = 1
    clean = np.full(pattern.shape, 128, np.uint8)
    weak, strong = ((clean + k * pattern).astype(np.uint8) for k in (factor, factor + more))
    assert all(psnr(weak, clean, rule) > psnr(strong, clean, rule) for rule in PROTOCOLS.values())


@ALL
@BOTH
@given(seed=seeds)
def test_neither_image_is_the_first(metric: object, name: str, seed: int) -> None:
    a, b = two(seed)
    assert metric(a, b, protocol(name)) == pytest.approx(metric(b, a, protocol(name)), abs=1e-12)  # type: ignore[operator]


@given(seeds)
def test_ssim_is_at_most_one(seed: int) -> None:
    assert all(-1 <= ssim(*two(seed), rule) <= 1 for rule in PROTOCOLS.values())


@ALL
@BOTH
def test_what_lies_in_the_border_does_not_count(metric: object, name: str) -> None:
    rule = protocol(name)
    a, b = two(0, (40, 44))
    changed = a.copy()
    changed[: rule.border] = changed[:, 44 - rule.border :] = 0
    assert metric(changed, b, rule) == metric(a, b, rule)  # type: ignore[operator]
    changed[rule.border] = ~a[rule.border]
    assert metric(changed, b, rule) != metric(a, b, rule)  # type: ignore[operator]


def test_shrinking_starts_at_384_pixels() -> None:
    for size, changes in (((383, 400), False), ((384, 400), True)):
        a, b = two(1, size)
        assert (ssim(a, b, protocol("rgb-shrunk")) != ssim(a, b, RGB)) == changes


def test_the_window_over_channels_takes_colour_for_structure(pair: tuple[np.ndarray, np.ndarray]) -> None:
    grey = tuple(np.repeat(image[..., :1], 3, axis=2) for image in pair)
    coloured, plain = (ssim(*images, protocol("rgb-3d")) - ssim(*images, RGB) for images in (pair, grey))
    assert coloured > 0.05
    assert abs(plain) < 0.02


def test_golden(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """As it was when results were committed: a change here changes every table."""
    assert [psnr(*pair, protocol(name)) for name in ("rgb-full", "y-full", "y-limited")] == pytest.approx(
        GOLDEN[0], abs=1e-12
    )
    assert [ssim(*pair, protocol(name)) for name in ("rgb-full", "y-full", "y-limited")] == pytest.approx(
        GOLDEN[1], abs=1e-12
    )


GOLDEN = (
    [27.06685369214073, 30.46075486696199, 31.782676178838727],
    [0.638450382410234, 0.7470915464092, 0.8151581030132213],
)


def test_what_cannot_be_compared() -> None:
    small = np.zeros((8, 20, 3), np.uint8)
    with pytest.raises(QdrError, match="uint8 RGB"):
        compared(np.zeros((4, 4, 3)), RGB)  # type: ignore[arg-type]
    with pytest.raises(QdrError, match="sides of at least 11"):
        ssim(small, small, RGB)
    with pytest.raises(QdrError, match="leaves out 4 pixels at every side"):
        psnr(small, small, protocol("y-limited-crop4"))
    with pytest.raises(QdrError, match=r"different size: restored \(8, 20, 3\), target \(8, 1, 3\)"):
        psnr(small, small[:, :1], RGB)
    with pytest.raises(QdrError, match="did you mean 'rgb-full'"):
        protocol("rgb-ful")


@given(st.floats(20, 40), st.floats(0.5, 20))
def test_recovery_is_zero_for_the_input_and_one_for_fp32(degraded: float, gain: float) -> None:
    fp32 = degraded + gain
    assert gain_recovery(degraded, fp32, degraded) == 0
    assert gain_recovery(fp32, fp32, degraded) == pytest.approx(1)
    assert psnr_ratio(degraded, fp32) > 0.4, "the ratio flatters a model that does nothing"
    assert math.isnan(gain_recovery(30, degraded, degraded))
