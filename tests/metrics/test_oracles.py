"""Every protocol against implementations of others, on seeded pairs; docs/metrics.md states how far they agree.

Colour, crop and blocks are made by scikit-image here, and rounded luma in integers, not by the code under test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr, rgb2yuv
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import downscale_local_mean
from skimage.util import crop
from torchmetrics.functional import image as torchmetrics

from qdr.metrics.protocol import PROTOCOLS, Protocol, protocol
from qdr.metrics.psnr import psnr
from qdr.metrics.ssim import ssim

Oracle = Callable[[np.ndarray, np.ndarray], float]
ROOT = Path(__file__).resolve().parents[2]
COLOURS = {
    "rgb": lambda image: image.astype(np.float64),
    "y-full": lambda image: 255 * rgb2yuv(image)[..., :1],
    "y-limited": lambda image: rgb2ycbcr(image)[..., :1],
}
THOUSANDTHS = {"y-full": (np.array([299, 587, 114]), 1000), "y-limited": (np.array([65481, 128553, 24966]), 255_000)}
WINDOWS = {"gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}, "uniform": {}}


def looked_at(image: np.ndarray, rule: Protocol) -> np.ndarray:
    levels = rounded_luma(image, rule) if rule.rounded else COLOURS[rule.colour](image)
    return crop(levels, ((rule.border, rule.border), (rule.border, rule.border), (0, 0)))


def rounded_luma(image: np.ndarray, rule: Protocol) -> np.ndarray:
    weights, whole = THOUSANDTHS[rule.colour]
    levels = (image.astype(np.int64) @ weights + whole // 2) // whole + (16 if rule.colour == "y-limited" else 0)
    return levels[..., None].astype(np.float64)


def skimage_psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(b, a, data_range=255))


def skimage_ssim(window: str) -> Oracle:
    return lambda a, b: float(structural_similarity(a, b, data_range=255, channel_axis=2, **WINDOWS[window]))


def torchmetrics_psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(
        torchmetrics.peak_signal_noise_ratio(torch.from_numpy(a.copy()), torch.from_numpy(b.copy()), data_range=255.0)
    )


def torchmetrics_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Its own mean is over the whole image, edges reflected; the map without the edges is Wang's."""
    pair = (torch.from_numpy(x.transpose(2, 0, 1)[None].copy()) for x in (a, b))
    compute = torchmetrics.structural_similarity_index_measure
    _, found = compute(*pair, sigma=1.5, kernel_size=11, data_range=255.0, return_full_image=True)
    return float(found[..., 5:-5, 5:-5].mean())


def conv3d_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """One dense 11x11x11 convolution, as NAFNet's calculate_ssim has it, in float64."""
    line = torch.exp(-0.5 * (torch.arange(-5, 6, dtype=torch.float64) / 1.5) ** 2)
    kernel = torch.einsum("i,j,k->ijk", line, line, line)
    kernel = (kernel / kernel.sum())[None, None]

    def blur(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv3d(torch.nn.functional.pad(x[None, None], (5,) * 6, mode="replicate"), kernel)

    x, y = torch.from_numpy(a), torch.from_numpy(b)
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 2.55**2, 7.65**2
    return float(((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


def shrunk(oracle: Oracle) -> Oracle:
    def compute(a: np.ndarray, b: np.ndarray) -> float:
        side = max(1, round(min(a.shape[:2]) / 256))
        return oracle(*(downscale_local_mean(x, (side, side, 1)) for x in (a, b)))

    return compute


PLAIN = [name for name, rule in PROTOCOLS.items() if rule.window == "gaussian" and not rule.shrunk]
UNIFORM = [name for name, rule in PROTOCOLS.items() if rule.window == "uniform"]
SIZES = [(48, 64), (53, 47), (64, 64), (40, 96), (33, 35)] * 4
SMALL = [(33, 35), (24, 40)]
LARGE = [(512, 384), (768, 771)]
# As the rows of docs/metrics.md: metric, protocols and oracle.
CASES: dict[tuple[str, str, str], tuple[list[str], Oracle, list[tuple[int, int]]]] = {
    ("PSNR", "all", "scikit-image peak_signal_noise_ratio"): (list(PROTOCOLS), skimage_psnr, SIZES),
    ("PSNR", "all", "torchmetrics peak_signal_noise_ratio"): (list(PROTOCOLS), torchmetrics_psnr, SIZES),
    ("SSIM", "gaussian", "scikit-image structural_similarity"): (PLAIN, skimage_ssim("gaussian"), SIZES),
    ("SSIM", "gaussian", "torchmetrics structural_similarity_index_measure"): (PLAIN, torchmetrics_ssim, SIZES[:5]),
    ("SSIM", "uniform", "scikit-image structural_similarity"): (UNIFORM, skimage_ssim("uniform"), SIZES),
    ("SSIM", "gaussian-3d", "torch conv3d, dense"): (["rgb-3d"], conv3d_ssim, SMALL),
    ("SSIM", "shrunk", "scikit-image downscale_local_mean, structural_similarity"): (
        ["rgb-shrunk"],
        shrunk(skimage_ssim("gaussian")),
        LARGE,
    ),
}


def pair(size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth coloured image, and the same with noise and a shift in brightness."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3))
    clean = np.kron(coarse, np.ones((8, 8, 1)))[: size[0], : size[1]] * rng.uniform(0.5, 1)
    worse = clean + rng.normal(rng.uniform(-10, 10), rng.uniform(1, 40), clean.shape)
    return np.clip(worse, 0, 255).astype(np.uint8), clean.astype(np.uint8)


def largest_difference(case: tuple[str, str, str]) -> float:
    names, oracle, sizes = CASES[case]
    ours = psnr if case[0] == "PSNR" else ssim
    found = []
    for name in names:
        rule = protocol(name)
        for seed, size in enumerate(sizes):
            restored, target = pair(size, seed)
            expected = oracle(looked_at(restored, rule), looked_at(target, rule))
            found.append(abs(ours(restored, target, rule) - expected))
    return max(found)


def documented() -> dict[tuple[str, str, str], float]:
    """The rows of the table in docs/metrics.md: case and bound."""
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| (PSNR|SSIM) \| ([\w-]+) \| ([^|]+) \| ([\d.e-]+)", text, re.MULTILINE)
    return {(metric, which, oracle): float(bound) for metric, which, oracle, bound in rows}


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case))
def test_the_difference_is_at_most_what_the_page_says(case: tuple[str, str, str]) -> None:
    assert largest_difference(case) <= documented()[case]


def test_the_page_states_all_of_them() -> None:
    assert documented().keys() == CASES.keys()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_has_an_oracle_for_both_metrics(name: str) -> None:
    assert {case[0] for case, (names, *_) in CASES.items() if name in names} == {"PSNR", "SSIM"}


def test_scikit_image_as_papers_call_it() -> None:
    """On the 8-bit images themselves, no option but the axis: SRFlow's Measure.py."""
    restored, target = pair((60, 71), 3)
    rule = protocol("rgb-uniform7")
    assert psnr(restored, target, rule) == pytest.approx(peak_signal_noise_ratio(target, restored), abs=1e-12)
    assert ssim(restored, target, rule) == pytest.approx(structural_similarity(restored, target, channel_axis=2), abs=1e-12)
