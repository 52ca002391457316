"""Uncertainty weighting: each loss is divided by a learned scale of itself.

Kendall, Gal and Cipolla, CVPR 2018 (arXiv 1705.07115), section 3.2. For an L1 loss (a Laplace likelihood of scale
exp(s_k)) the objective is  sum_k exp(-s_k) L_k + s_k;  its minimum over s_k is at s_k = log L_k. `weight` multiplies the
losses that distil, which at that minimum changes nothing: the method has no free weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qdr.distill.balancers.base import Balancer


class Balance(Balancer):
    """Weights exp(-s_k)."""

    def __init__(self, terms: int, weight: float, every: int) -> None:
        super().__init__(terms, weight, every)
        self.log_scale = nn.Parameter(torch.zeros(terms))

    def weights(self) -> Tensor:
        return torch.exp(-self.log_scale.detach())

    def own_loss(self, losses: Tensor) -> Tensor:
        return (torch.exp(-self.log_scale) * losses + self.log_scale).sum()
