"""Laws of the physics, on real and made-up images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from qdr.data.degrade import DEGRADATIONS, degrade
from qdr.data.degrade.haze import add_haze, invent_depth, transmission
from qdr.data.degrade.lowlight import encode, linearize
from qdr.data.degrade.noise import deviation
from qdr.data.degrade.rain import add_rain
from qdr.errors import QdrError

pictures = hnp.arrays(np.float32, (24, 32, 3), elements=st.floats(0, 1, width=32))
seeds = st.integers(0, 2**31)


@pytest.fixture
def photo() -> np.ndarray:
    from skimage.data import astronaut

    return astronaut()[:256, :256]


@pytest.mark.parametrize("task", DEGRADATIONS)
def test_the_same_image_and_seed_give_the_same_bytes(photo: np.ndarray, task: str) -> None:
    first, truth = degrade(task, photo, None, 7, "astronaut")
    second, again = degrade(task, photo, None, 7, "astronaut")
    assert np.array_equal(first, second)
    assert np.array_equal(truth, again)
    assert not np.array_equal(first, degrade(task, photo, None, 8, "astronaut")[0])
    assert not np.array_equal(first, degrade(task, photo, None, 7, "other")[0])
    assert (first.shape, first.dtype, truth.shape, truth.dtype) == (photo.shape, np.uint8, photo.shape[:2], np.uint8)


@pytest.mark.parametrize(
    ("task", "low", "high"), [("lowlight", 6, 15), ("dehaze", 6, 18), ("derain", 14, 24), ("denoise", 17, 27)]
)
def test_strength(photo: np.ndarray, task: str, low: float, high: float) -> None:
    degraded, _ = degrade(task, photo, None, 1, "astronaut")
    error = np.mean((degraded.astype(float) - photo) ** 2)
    assert low < 10 * np.log10(255**2 / error) < high


def test_unknown_task(photo: np.ndarray) -> None:
    with pytest.raises(QdrError, match="did you mean 'derain'"):
        degrade("derian", photo, None, 1, "x")


@given(pictures)
def test_srgb_curve_and_its_inverse(image: np.ndarray) -> None:
    assert np.allclose(encode(linearize(image)), image, atol=1e-4)


@settings(deadline=None)
@given(pictures, seeds)
def test_haze_leaves_what_is_near_and_pulls_the_rest_to_the_airlight(image: np.ndarray, seed: int) -> None:
    near, truth = add_haze(np.random.default_rng(seed), image, np.zeros((24, 32), np.float32))
    assert np.array_equal(near, image)
    assert not truth.any()
    far, truth = add_haze(np.random.default_rng(seed), image, np.full((24, 32), 1e3, np.float32))
    assert np.ptp(far.reshape(-1, 3), axis=0).max() < 1e-6
    assert np.allclose(truth, 1)


@given(hnp.arrays(np.float32, 20, elements=st.floats(0, 5, width=32)), st.floats(0.1, 5))
def test_transmission_is_in_the_unit_interval_and_falls_with_depth(depth: np.ndarray, beta: float) -> None:
    t = transmission(np.sort(depth), beta)
    assert ((t > 0) & (t <= 1)).all()
    assert (np.diff(t) <= 0).all()


@given(seeds)
def test_an_invented_depth_recedes_upwards(seed: int) -> None:
    depth = invent_depth(np.random.default_rng(seed), 64, 64)
    assert depth[:16].mean() > depth[-16:].mean()


@settings(deadline=None, max_examples=20)
@given(pictures, seeds)
def test_rain_only_brightens(image: np.ndarray, seed: int) -> None:
    rainy, layer = add_rain(np.random.default_rng(seed), image, None)
    assert (rainy >= image - 1e-6).all()
    assert (rainy <= 1 + 1e-6).all()
    assert ((layer >= 0) & (layer <= 1)).all()


@given(st.floats(0.001, 0.05), st.floats(0.001, 0.1))
def test_noise_grows_with_the_signal(gain: float, read: float) -> None:
    sigma = deviation(np.linspace(0, 1, 9, dtype=np.float32), gain, read)
    assert (np.diff(sigma) > 0).all()
    assert sigma[0] == pytest.approx(read, rel=1e-5)


def test_noise_is_unbiased_and_has_the_stated_deviation() -> None:
    from qdr.data.degrade.noise import add_noise

    image = np.full((256, 256, 3), 0.5, np.float32)
    noisy, truth = add_noise(np.random.default_rng(0), image, None)
    assert abs(float(noisy.mean()) - 0.5) < 2e-3
    assert float(noisy.std()) == pytest.approx(float(truth[0, 0]) * 0.25, rel=0.02)
