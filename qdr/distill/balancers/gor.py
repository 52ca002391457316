"""Game of Regularizer (GoR): two free scalars weigh the task and the distillation, whatever the number of losses.

FACT (Rehman et al. 2025, arXiv 2509.20854, abstract): task and distillation losses are balanced "using only two trainable
parameters for dynamic loss weighting", because their gradients differ in magnitude under low-bit quantization.

READING (ours; the equations were not at hand). With a = b = 0 at the start, so that the first step has the weights 1 and
`weight`, and D the sum of the losses that distil,

    L = exp(-a) L_1 + exp(-b) weight D + log(1 + exp(a)) + log(1 + exp(b)).

The regulariser is that of Liebel and Koerner 2018 (arXiv 1805.06334, there ln(1 + c^2), c^2 = exp(a)): never negative, and
vanishing as a weight grows. At the minimum exp(a) = u with u^2 = L_1 (1 + u): for a small loss the weight is near
1 / sqrt(L_1).

Uncertainty weighting (`uncertainty`) has the regulariser a + b, without a lower bound, and one scalar for each loss; its
weights tend to 1 / L_k, from 1 each, and `weight` falls out of them. Here a small loss is raised by the root of that alone,
and `weight` stays, by its root.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.distill.balancers.base import Balancer


class Balance(Balancer):
    """Weights exp(-a), weight exp(-b), weight exp(-b), ..."""

    def __init__(self, terms: int, weight: float, every: int) -> None:
        super().__init__(terms, weight, every)
        self.log_scale = nn.Parameter(torch.zeros(2))  # a and b

    def weights(self) -> Tensor:
        return self._weights().detach()

    def own_loss(self, losses: Tensor) -> Tensor:
        return (self._weights() * losses).sum() + F.softplus(self.log_scale).sum()

    def _weights(self) -> Tensor:
        task, distillation = torch.exp(-self.log_scale)
        return torch.stack([task] + [self.weight * distillation] * (self.terms - 1))
