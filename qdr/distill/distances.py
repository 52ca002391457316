"""Distances between a student's features and its teacher's, [n, c, h, w] each; a scalar >= 0, 0 for equal features.

The teacher gets no gradient. Relative L1 is the default of Decoder-Free Distillation (READING: the paper's distance was
not at hand): dividing by the teacher's mean magnitude makes one weight mean the same at every place and depth. Its gradient
has the same size at any distance: near the end, where a student on its grid cannot come nearer, it is rounding noise at full
strength. That of `dead-zone` and `decoded` vanishes with the distance.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Distance = Callable[[Tensor, Tensor], Tensor]
_TINY = 1e-8


def l1(student: Tensor, teacher: Tensor) -> Tensor:
    """`mean|s - t|`."""
    return (student - teacher).abs().mean()


def relative_l1(student: Tensor, teacher: Tensor) -> Tensor:
    """`mean|s - t| / mean|t|`.

    >>> float(relative_l1(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0])))
    0.5
    """
    return (student - teacher).abs().mean() / teacher.abs().mean().clamp(min=_TINY)


def l2(student: Tensor, teacher: Tensor) -> Tensor:
    """`mean (s - t)^2`, the hint loss of FitNets (Romero et al., ICLR 2015, arXiv 1412.6550, eq. 3)."""
    return (student - teacher).square().mean()


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """`1 - cos(s, t)` over channels, mean over positions: blind to the magnitude of a feature vector."""
    return (1 - F.cosine_similarity(student, teacher, dim=1, eps=_TINY)).mean()


def attention(student: Tensor, teacher: Tensor) -> Tensor:
    """Attention transfer: the maps sum_c x_c^2, each of unit length (Zagoruyko and Komodakis, ICLR 2017, arXiv 1612.03928,
    eq. 2); the mean over images of the squared distance. The number of channels may differ.
    """
    maps = (F.normalize(x.square().mean(dim=1).flatten(1), dim=1, eps=_TINY) for x in (student, teacher))
    a, b = maps
    return (a - b).square().sum(dim=1).mean()


def spectral(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean magnitude of the difference of the two-dimensional Fourier transforms (orthonormal), over the teacher's.

    As in the frequency loss of MIMO-UNet (Cho et al., ICCV 2021, arXiv 2108.05054, eq. 5), on features.
    """
    difference: Tensor = torch.fft.rfft2(student - teacher, norm="ortho").abs().mean()
    size: Tensor = torch.fft.rfft2(teacher, norm="ortho").abs().mean().clamp(min=_TINY)
    return difference / size


def dead_zone(student: Tensor, teacher: Tensor) -> Tensor:
    """`mean (max(|s - t| - step / 2, 0) / deviation)^2`: squares on standardized channels, from half a step on.

    `step` is that of the grid on which the student's features lie, 0 where they lie on none: a value on the grid that is
    nearest to the teacher's has no gradient. The deviation is that of the teacher's channel over the batch, at least a tenth
    of the mean one, so that channels that hardly vary do not rule. LMR, which gives every gradient the same size, would
    undo it: weigh it by `fixed`.
    """
    _, step = getattr(student, "grid", (None, torch.zeros(())))
    deviation = teacher.std(dim=(0, 2, 3), keepdim=True)
    beyond = F.relu((student - teacher).abs() - step / 2)
    return (beyond / deviation.clamp(min=0.1 * float(deviation.mean()) + _TINY)).square().mean()


def decoded(restored: Tensor, answer: Tensor, degraded: Tensor) -> Tensor:
    """`mean (y - y_t)^2 / mean (y_t - x)^2`: the error of features as the teacher's decoder shows it.

    y is what the teacher makes of the degraded image x with the student's features in place of its own, y_t its answer.
    Only the features get a gradient; the decoder is the measure, and is not distilled. Named as a distance, it needs the
    networks: `qdr.suite.train.objective` computes y.
    """
    return (restored - answer).square().mean() / (answer - degraded).square().mean().clamp(min=_TINY)


DECODED = "decoded"
DISTANCES: dict[str, Distance] = {
    "l1": l1,
    "relative-l1": relative_l1,
    "l2": l2,
    "cosine": cosine,
    "attention": attention,
    "spectral": spectral,
    "dead-zone": dead_zone,
}
