"""What the choice of protocol alone is worth: one pair of images, measured by every published convention.

The pair is a photograph that comes with scikit-image (NASA's portrait of Eileen Collins, 512x512, public domain) and the
same with seeded Gaussian noise of sigma 10, rounded and clipped to 8 bits: nothing is restored, so only the convention
differs between rows. Crops matter more where a network spoils the border; noise has none.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from qdr.metrics.protocol import PROTOCOLS, Image
from qdr.metrics.psnr import psnr
from qdr.metrics.ssim import ssim
from qdr.suite.report.tables.table import RULE, Table

SIGMA = 10
BASE = "rgb-full"


def noisy_pair() -> tuple[Image, Image]:
    """The photograph with noise, and without."""
    from skimage.data import astronaut

    clean: Image = astronaut()  # type: ignore[no-untyped-call]
    noise = np.random.default_rng(0).normal(0, SIGMA, clean.shape)
    return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8), clean


@cache
def measured() -> dict[str, tuple[float, float]]:
    """PSNR in dB and SSIM of the pair by protocol."""
    noisy, clean = noisy_pair()
    return {name: (psnr(noisy, clean, rule), ssim(noisy, clean, rule)) for name, rule in PROTOCOLS.items()}


def conventions_table() -> Table:
    """A row per protocol, then the smallest and largest value and the spread."""
    values = measured()
    first = values[BASE]
    rows = [[name, *_cells(value, first), PROTOCOLS[name].used_by] for name, value in values.items()]
    low, high = ([pick(column) for column in zip(*values.values(), strict=True)] for pick in (min, max))
    spread = [f"{high[0] - low[0]:.2f}", "", f"{high[1] - low[1]:.4f}", "", ""]
    rows += [RULE, *([name, f"{x[0]:.2f}", "", f"{x[1]:.4f}", "", ""] for name, x in (("smallest", low), ("largest", high)))]
    caption = f"One photograph with Gaussian noise of sigma {SIGMA}, measured by each published convention."
    header = ["Protocol", "PSNR (dB)", "Δ PSNR (dB)", "SSIM", "Δ SSIM", "Used by"]
    note = f"Δ: to {BASE}. Used by: an evaluation published as code. What each protocol compares: table protocol."
    return Table("conventions", caption, header, [*rows, ["spread", *spread]], [note])


def _cells(value: tuple[float, float], base: tuple[float, float]) -> list[str]:
    return [f"{value[0]:.2f}", f"{value[0] - base[0]:+.2f}", f"{value[1]:.4f}", f"{value[1] - base[1]:+.4f}"]
