"""A fixed weight: `L = L_1 + weight * sum of the others`."""

from __future__ import annotations

import torch
from torch import Tensor

from qdr.distill.balancers.base import Balancer


class Balance(Balancer):
    """Weights 1, weight, weight, ..."""

    def weights(self) -> Tensor:
        return torch.tensor([1.0] + [self.weight] * (self.terms - 1))
