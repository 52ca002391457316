"""GradNorm: gradient norms follow the losses' relative training rates.

Chen et al., ICML 2018 (arXiv 1711.02257), eq. 2: the weights w_k minimize  sum_k | G_k - sg[mean G  r_k^alpha] |  with
G_k = w_k |dL_k| and r_k the loss over its first value, relative to the mean of that; sum w_k = K. READING: gradients
are taken at the bottleneck tensor, where the losses meet, not at the last shared weights (as MGDA-UB does: Sener and
Koltun 2018, arXiv 1810.04650); w = K softmax(z) keeps the sum. `weight` multiplies the wanted norm of the losses that
distil.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qdr.distill.balancers.base import Balancer, BottleneckGradients

ALPHA = 0.5


class Balance(Balancer):
    """Weights K softmax(z), z learned."""

    def __init__(self, terms: int, weight: float, every: int) -> None:
        super().__init__(terms, weight, every)
        self.first: Tensor
        self.norms: Tensor
        self.z = nn.Parameter(torch.zeros(terms))
        self.register_buffer("first", torch.zeros(terms))
        self.register_buffer("norms", torch.zeros(terms))

    def observe(self, losses: Tensor, gradients: BottleneckGradients | None) -> None:
        if not bool(self.first.any()):
            self.first = losses.clamp(min=1e-12)
        if gradients is not None:
            self.norms = gradients.norms()

    def weights(self) -> Tensor:
        return self.terms * torch.softmax(self.z.detach(), dim=0)

    def own_loss(self, losses: Tensor) -> Tensor:
        pulled = self.terms * torch.softmax(self.z, dim=0) * self.norms
        rate = losses / self.first
        share = torch.tensor([1.0] + [self.weight] * (self.terms - 1))
        wanted = pulled.detach().mean() * share * (rate / rate.mean()) ** ALPHA
        return (pulled - wanted).abs().sum() / wanted.mean().clamp(min=1e-12)
