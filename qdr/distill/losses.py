"""Distances between a student's features and its teacher's.

Relative L1 is the default of Decoder-Free Distillation (READING: the paper's distance was not at hand). Dividing by the
teacher's mean magnitude makes one weight mean the same at every place and depth.
"""

from __future__ import annotations

import torch
from torch import Tensor


def relative_l1(student: Tensor, teacher: Tensor) -> Tensor:
    """`mean|s - t| / mean|t|`, a scalar >= 0; the teacher gets no gradient.

    >>> float(relative_l1(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0])))
    0.5
    """
    target = teacher.detach().float()
    return (student.float() - target).abs().mean() / target.abs().mean().clamp(min=1e-8)


def feature_distance(student: dict[str, Tensor], teacher: dict[str, Tensor]) -> Tensor:
    """Mean relative L1 over all tapped features."""
    return torch.stack([relative_l1(student[name], teacher[name]) for name in student]).mean()
