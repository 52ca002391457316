"""Dynamic weight average: a loss that falls more slowly gets more weight.

Liu, Johns and Davison, CVPR 2019 (arXiv 1803.10704), eq. 7: lambda_k = K softmax_k(w_k / T), w_k = L_k(t-1) / L_k(t-2),
T = 2. READING: t counts windows of `every` steps in place of epochs, which a run of a few hundred steps does not have;
the losses that distil are multiplied by `weight` beforehand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qdr.distill.balancers.base import Balancer, BottleneckGradients

TEMPERATURE = 2.0


class Balance(Balancer):
    """Weights from the means of the last two windows; equal until there are two."""

    def __init__(self, terms: int, weight: float, every: int) -> None:
        super().__init__(terms, weight, every)
        self.windows: Tensor
        self.seen: Tensor
        self.total: Tensor
        self.register_buffer("windows", torch.ones(2, terms))  # the last window's means, and those before
        self.register_buffer("total", torch.zeros(terms))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def observe(self, losses: Tensor, gradients: BottleneckGradients | None) -> None:
        self.total += losses
        self.seen += 1
        if int(self.seen) % self.every == 0:
            last = self.total / self.every
            before = self.windows[0] if int(self.seen) > self.every else last
            self.windows = torch.stack([last, before])
            self.total = torch.zeros_like(self.total)

    def weights(self) -> Tensor:
        ratio = self.windows[0] / self.windows[1].clamp(min=1e-12)
        base = torch.tensor([1.0] + [self.weight] * (self.terms - 1))
        return base * self.terms * torch.softmax(ratio / TEMPERATURE, dim=0)
