"""Degradations of batches against their equations and against Pillow, and batches that depend on (seed, step) alone."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from qdr.errors import QdrError
from qdr.images.pairs import match, read_pair
from qdr.suite.data.degrade import batched
from qdr.suite.data.degrade.batched import BATCHED, CLEAN, jpeg, streaks
from qdr.suite.data.loader import PairSet
from qdr.suite.data.online import PAIRS, OnlineSet

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photos() -> Tensor:
    from skimage.data import astronaut, coffee

    crops = [image[y : y + 64, x : x + 64] for image in (astronaut(), coffee()) for y in (60, 200) for x in (60, 200)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture
def split(tmp_path: Path) -> PairSet:
    rng = np.random.default_rng(0)
    names, shapes = ["small", "wide"], [(32, 48, 3), (40, 80, 3)]
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    (tmp_path / "truth").mkdir()
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image[..., 0]).save(tmp_path / "truth" / f"{name}.png")
    return PairSet(tmp_path, names, images, images)


@pytest.mark.parametrize("kind", BATCHED)
def test_batches_have_256_levels_and_some_images_stay_clean(photos: Tensor, kind: str) -> None:
    many = photos.repeat(40, 1, 1, 1)
    degraded = BATCHED[kind](generator(), many, torch.full_like(many[:, :1], 0.6))
    levels = degraded * 255
    assert degraded.shape == many.shape
    assert degraded.amin() >= 0
    assert degraded.amax() <= 1
    assert torch.allclose(levels, levels.round(), atol=1e-3)
    untouched = ((degraded - many).abs().amax(dim=(1, 2, 3)) < 1e-3).float().mean()
    if kind in ("rain", "haze", "low-light"):
        assert CLEAN / 3 < untouched < 3 * CLEAN
    if kind in ("heavy-rain", "indoor-haze"):
        assert untouched == 0


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("noise", 18, 40),
        ("rain", 10, 30),
        ("haze", 8, 25),
        ("low-light", 4, 16),
        ("sigma-and-camera", 18, 40),
        ("heavy-rain", 10, 15),
        ("indoor-haze", 8, 18),
    ],
)
def test_strength(photos: Tensor, kind: str, low: float, high: float) -> None:
    many = photos.repeat(20, 1, 1, 1)
    error = (BATCHED[kind](generator(1), many, torch.full_like(many[:, :1], 0.6)) - many).square().mean(dim=(1, 2, 3))
    assert low < float((-10 * error.clamp(min=1e-5).log10()).median()) < high


def test_white_noise_has_the_drawn_deviation(photos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched, "_uniform", lambda rng, n, low, high: torch.full((n, 1, 1, 1), (low + high) / 2))
    monkeypatch.setattr(batched, "_chosen", lambda rng, n, share: torch.ones((n, 1, 1, 1), dtype=torch.bool))
    grey = torch.full_like(photos, 128 / 255)
    assert float((batched.noise(generator(), grey, grey) - grey).std()) == pytest.approx(25 / 255, rel=0.02)


def test_targets_of_low_light_are_well_exposed_by_a_tone_curve(photos: Tensor) -> None:
    some = photos[photos.mean(dim=(1, 2, 3)) > 0.3]  # the darkest would need a steeper curve than is drawn
    bright = batched.well_exposed(generator(), some)
    assert len(some) > 3
    assert ((bright.mean(dim=(1, 2, 3)) > 0.38) & (bright.mean(dim=(1, 2, 3)) < 0.52)).all()
    for before, after in zip(some, bright, strict=True):
        order = before.flatten().argsort()
        assert (after.flatten()[order].diff() >= 0).all()  # one curve for all pixels
    assert torch.allclose(bright * 255, (bright * 255).round(), atol=1e-3)


def test_a_batchs_target_is_what_its_kind_restores(split: PairSet) -> None:
    dark = PairSet(split.folder, split.names, split.inputs, [image // 3 for image in split.targets])
    means = {kind: next(OnlineSet(dark, kind, CPU).batches(1, 4, 32, 0))[1].mean(dim=(1, 2, 3)) for kind in BATCHED}
    assert (means["low-light"] > 0.38).all()
    assert all((means[kind] < 0.2).all() for kind in BATCHED if kind != "low-light")


def test_haze_is_koschmieders_equation(photos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([0.5, 0.8, 0.0])  # exponent of the transmission, airlight, noise
    monkeypatch.setattr(batched, "_uniform", lambda rng, n, low, high: torch.full((n, 1, 1, 1), next(draws)))
    monkeypatch.setattr(batched, "_normal", lambda rng, like: torch.zeros_like(like))
    monkeypatch.setattr(batched, "compressed", lambda rng, images, share, quality: images)
    monkeypatch.setattr(batched, "CLEAN", 0.0)
    hazy = batched.haze(generator(), photos, torch.full_like(photos[:, :1], 0.75))
    assert torch.allclose(hazy, photos * 0.5 + 0.8 * 0.5, atol=0.51 / 255)


def test_indoor_haze_is_reside_over_the_prepared_depth(photos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([1.2, 0.8])  # beta, airlight
    monkeypatch.setattr(batched, "_uniform", lambda rng, n, low, high: torch.full((n, 1, 1, 1), next(draws)))
    depth = torch.full_like(photos[:, :1], 0.5)
    t = math.exp(-1.2 * 0.5)
    hazy = batched.indoor_haze(generator(), photos, depth)
    assert torch.allclose(hazy, photos * t + 0.8 * (1 - t), atol=0.51 / 255)


def test_white_noise_of_the_matched_kind_is_5_to_45_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = torch.full((200, 3, 64, 64), 128 / 255)
    monkeypatch.setattr(batched, "_chosen", lambda rng, n, share: torch.ones((n, 1, 1, 1), dtype=torch.bool))
    levels = 255 * (batched.sigma_and_camera(generator(), grey, grey) - grey).std(dim=(1, 2, 3))
    assert 4.8 < levels.min() < 7
    assert 42 < levels.max() < 46


def test_heavy_rain_is_grey_and_only_brightens(photos: Tensor) -> None:
    dark = photos.repeat(4, 1, 1, 1) * 0.2
    rain = batched.heavy_rain(generator(), dark, dark) - dark
    unclipped = (dark + rain).amax(dim=1) < 1
    assert float(rain.min()) > -0.51 / 255  # rounding to levels
    assert float((rain.amax(dim=1) - rain.amin(dim=1))[unclipped].max()) < 1.01 / 255
    assert 0.1 < float(rain.mean()) < 0.3


@pytest.mark.skipif("QDR_DATA" not in os.environ, reason="QDR_DATA names no folder of research data")
def test_heavy_rain_is_that_of_the_pairs_it_was_calibrated_on() -> None:
    """Histograms of what rain adds to dark pixels, over all 18 pairs."""
    edges = torch.tensor([-1, 0.5, 8, 16, 32, 48, 64, 96, 128, 160, 192, 256]) / 255
    found = torch.zeros(2, len(edges) - 1)
    for pair in match(Path(os.environ["QDR_DATA"]) / "derain" / "rain100h_train18"):
        rainy, clean = (torch.tensor(image).permute(2, 0, 1)[None] / 255 for image in read_pair(*pair))
        made = torch.cat([batched.heavy_rain(generator(seed), clean, clean) for seed in range(4)])
        for row, images in enumerate((rainy, made)):
            added = (images - clean).mean(dim=1)[:, clean[0].amax(dim=0) < 0.5]
            found[row] += torch.histogram(added.flatten(), edges).hist
    shares = found / found.sum(dim=1, keepdim=True)
    assert float((shares[0] - shares[1]).abs().sum()) / 2 < 0.12


def test_streaks_fall_along_their_angle() -> None:
    def slope(angle: float) -> float:
        layer = streaks(generator(3), torch.zeros(8, 3, 192, 192), torch.full((8, 1, 1, 1), angle))
        spectrum = torch.fft.fft2(layer - layer.mean(dim=(2, 3), keepdim=True)).abs().square().sum(dim=(0, 1))
        y = torch.fft.fftfreq(192)[:, None].expand(192, 192)
        x = torch.fft.fftfreq(192)[None].expand(192, 192)
        yy, xx, xy = ((spectrum * a * b).sum() for a, b in ((y, y), (x, x), (y, x)))
        return float(0.5 * torch.atan2(-2 * xy, xx - yy))  # the spectrum lies across the streaks

    for angle in (-0.5, 0.0, 0.4):
        assert slope(angle) == pytest.approx(angle, abs=0.1)


@pytest.mark.parametrize("quality", [60, 80, 95])
def test_jpeg_is_what_a_file_gives_back(photos: Tensor, quality: int) -> None:
    ours = jpeg(photos, torch.full((len(photos), 1, 1, 1), float(quality)))
    for image, mine in zip(photos, ours, strict=True):
        file = io.BytesIO()
        Image.fromarray((image.permute(1, 2, 0) * 255).round().byte().numpy()).save(
            file, "JPEG", quality=quality, subsampling=0
        )
        theirs = torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1) / 255
        assert float((mine - theirs).abs().mean()) < 0.6 / 255  # rounding inside the transform
        assert float((mine - image).square().mean()) == pytest.approx(float((theirs - image).square().mean()), rel=0.05)


@pytest.mark.parametrize("kind", BATCHED)
def test_a_batch_depends_on_seed_and_step_alone(split: PairSet, kind: str) -> None:
    data = OnlineSet(split, kind, CPU)
    whole = list(data.batches(4, 6, 16, seed=1))
    for (a, b), (c, d) in zip(whole[2:], data.batches(2, 6, 16, seed=1, start=2), strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    shared = [next(data.batches(1, 6, 16, seed=1, share=share))[0] for share in ((0, 2), (2, 6))]
    assert torch.equal(torch.cat(shared), whole[0][0])
    assert not torch.equal(whole[0][1], whole[1][1])


def test_crops_are_pieces_of_the_images(split: PairSet) -> None:
    ((_, clean),) = OnlineSet(split, "noise", CPU).batches(1, 20, 16, seed=5)
    pieces = set()
    for image in split.targets:
        tensor = torch.from_numpy(image).permute(2, 0, 1)
        windows = tensor.unfold(1, 16, 1).unfold(2, 16, 1).flatten(1, 2).transpose(0, 1)
        for turned in (windows, windows.transpose(2, 3)):
            for flips in ((), (2,), (3,), (2, 3)):
                pieces |= {piece.numpy().tobytes() for piece in turned.flip(flips).contiguous()}
    assert all((crop * 255).round().byte().numpy().tobytes() in pieces for crop in clean)


def test_pairs_are_cut_alike(split: PairSet) -> None:
    darker = [image // 2 for image in split.targets]
    pairs = PairSet(split.folder, split.names, darker, split.targets)
    for degraded, clean in OnlineSet(pairs, PAIRS, CPU).batches(3, 8, 16, seed=2):
        assert torch.equal((degraded * 255).round().byte(), (clean * 255).round().byte() // 2)


def test_too_small_images_are_refused(split: PairSet) -> None:
    with pytest.raises(QdrError, match="'small' is smaller than the patch of 40"):
        next(OnlineSet(split, "noise", CPU).batches(1, 2, 40, seed=0))
