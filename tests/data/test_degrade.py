"""Laws of the physics, on real and made-up images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter

from qdr.errors import QdrError
from qdr.seed import derive
from qdr.suite.data.degrade import DEGRADATIONS, Degradation, degrade
from qdr.suite.data.degrade.camera import add_camera_noise
from qdr.suite.data.degrade.haze import INDOOR_AIRLIGHT, INDOOR_BETA, add_haze, invent_depth, invent_room, transmission
from qdr.suite.data.degrade.heavy_rain import add_heavy_rain
from qdr.suite.data.degrade.lowlight import encode, linearize
from qdr.suite.data.degrade.noise import deviation
from qdr.suite.data.degrade.rain import add_rain

pictures = hnp.arrays(np.float32, (24, 32, 3), elements=st.floats(0, 1, width=32))
seeds = st.integers(0, 2**31)


@pytest.fixture
def photo() -> np.ndarray:
    from skimage.data import astronaut

    return astronaut()[:256, :256]


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_the_same_image_and_seed_give_the_same_bytes(photo: np.ndarray, kind: str) -> None:
    first, truth = degrade(kind, "derain", photo, None, 7, "astronaut")
    second, again = degrade(kind, "derain", photo, None, 7, "astronaut")
    assert np.array_equal(first, second)
    assert np.array_equal(truth, again)
    assert not np.array_equal(first, degrade(kind, "derain", photo, None, 8, "astronaut")[0])
    assert not np.array_equal(first, degrade(kind, "derain", photo, None, 7, "other")[0])
    assert (first.shape, first.dtype, truth.shape, truth.dtype) == (photo.shape, np.uint8, photo.shape[:2], np.uint8)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("low-light", 6, 15),
        ("haze", 6, 18),
        ("indoor-haze", 6, 18),
        ("reside-haze", 6, 18),
        ("rain", 14, 24),
        ("heavy-rain", 7, 22),
        ("noise", 17, 27),
        ("camera-noise", 15, 48),
        ("awgn-25", 20, 20.8),
    ],
)
def test_strength(photo: np.ndarray, kind: str, low: float, high: float) -> None:
    degraded, _ = degrade(kind, "derain", photo, None, 1, "astronaut")
    error = np.mean((degraded.astype(float) - photo) ** 2)
    assert low < 10 * np.log10(255**2 / error) < high


def test_an_unknown_degradation_is_named(photo: np.ndarray) -> None:
    with pytest.raises(QdrError, match="did you mean 'heavy-rain'"):
        degrade("heavy-rian", "derain", photo, None, 1, "x")


@given(pictures)
def test_srgb_curve_and_its_inverse(image: np.ndarray) -> None:
    assert np.allclose(encode(linearize(image)), image, atol=1e-4)


@settings(deadline=None)
@given(pictures, seeds)
def test_haze_leaves_what_is_near_and_pulls_the_rest_to_the_airlight(image: np.ndarray, seed: int) -> None:
    near, truth = add_haze(np.random.default_rng(seed), image, np.zeros((24, 32), np.float32), invent_depth)
    assert np.array_equal(near, image)
    assert not truth.any()
    far, truth = add_haze(np.random.default_rng(seed), image, np.full((24, 32), 1e3, np.float32), invent_depth)
    assert np.ptp(far.reshape(-1, 3), axis=0).max() < 1e-6
    assert np.allclose(truth, 1)


def test_reside_haze_keeps_the_depth(photo: np.ndarray) -> None:
    """From the prepared map any haze of the image is made again."""
    depth = np.linspace(0.1, 0.4, photo[..., 0].size, dtype=np.float32).reshape(photo.shape[:2])
    hazy, truth = degrade("reside-haze", "dehaze", photo, depth, 1, "a")
    assert np.abs(truth / 255 - depth / 0.4).max() < 0.51 / 255
    rng = np.random.default_rng(derive(1, "dehaze", "a"))
    t = np.exp(-rng.uniform(*INDOOR_BETA) * truth[..., None] / 255)
    assert np.abs(hazy - (photo * t + 255 * rng.uniform(*INDOOR_AIRLIGHT) * (1 - t))).max() < 1.5


@given(hnp.arrays(np.float32, 20, elements=st.floats(0, 5, width=32)), st.floats(0.1, 5))
def test_transmission_is_in_the_unit_interval_and_falls_with_depth(depth: np.ndarray, beta: float) -> None:
    t = transmission(np.sort(depth), beta)
    assert ((t > 0) & (t <= 1)).all()
    assert (np.diff(t) <= 0).all()


@given(seeds)
def test_an_invented_depth_recedes_upwards(seed: int) -> None:
    depth = invent_depth(np.random.default_rng(seed), np.zeros((64, 64, 3), np.float32))
    assert depth[:16].mean() > depth[-16:].mean()


def test_depths_of_a_room_change_where_the_image_does(photo: np.ndarray) -> None:
    """Depth steps more at the image's strong edges than elsewhere; a plane with smooth relief does not."""
    grey = photo.astype(np.float32).mean(axis=2) / 255
    edges = np.hypot(*np.gradient(gaussian_filter(grey, 3)))
    strong = edges > np.quantile(edges, 0.9)
    ratio = []
    for invent in (invent_room, invent_depth):
        depths = [invent(np.random.default_rng(seed), photo.astype(np.float32) / 255) for seed in range(6)]
        steps = [np.hypot(*np.gradient(gaussian_filter(depth, 2))) for depth in depths]
        ratio.append(np.mean([step[strong].mean() / step.mean() for step in steps]))
    assert ratio[0] > 1.2 * ratio[1]


@pytest.mark.parametrize("add", [add_rain, add_heavy_rain])
@settings(deadline=None, max_examples=20)
@given(pictures, seeds)
def test_rain_only_brightens(add: Degradation, image: np.ndarray, seed: int) -> None:
    rainy, layer = add(np.random.default_rng(seed), image, None)
    assert (rainy >= image - 1e-6).all()
    assert (rainy <= 1 + 1e-6).all()
    assert ((layer >= 0) & (layer <= 1)).all()


@given(st.floats(0.001, 0.05), st.floats(0.001, 0.1))
def test_noise_grows_with_the_signal(gain: float, read: float) -> None:
    sigma = deviation(np.linspace(0, 1, 9, dtype=np.float32), gain, read)
    assert (np.diff(sigma) > 0).all()
    assert sigma[0] == pytest.approx(read, rel=1e-5)


def test_camera_noise_is_correlated_or_white_as_its_half_says() -> None:
    """Neighbours of smeared noise agree (as in PolyU: 0.4 to 0.8); those of white noise do not."""
    grey, found = np.full((128, 128, 3), 0.5, np.float32), []
    for seed in range(12):
        noisy, truth = add_camera_noise(np.random.default_rng(seed), grey, None)
        noise = noisy - noisy.mean(axis=(0, 1))
        found.append(float((noise[:, 1:] * noise[:, :-1]).mean() / (noise**2).mean()))
        assert truth.max() <= 40 / 255 / 0.25 + 1e-6
    assert min(map(abs, found)) < 0.05
    assert max(found) > 0.3


def test_noise_is_unbiased_and_has_the_stated_deviation() -> None:
    from qdr.suite.data.degrade.noise import add_noise

    image = np.full((256, 256, 3), 0.5, np.float32)
    noisy, truth = add_noise(np.random.default_rng(0), image, None)
    assert abs(float(noisy.mean()) - 0.5) < 2e-3
    assert float(noisy.std()) == pytest.approx(float(truth[0, 0]) * 0.25, rel=0.02)
