"""Learnable Magnitude Reweighting (LMR).

FACT (arXiv 2603.09624, abstract): quantization noise sets the reconstruction and the distillation gradient against each
other, and LMR balances these competing gradients dynamically.

READING (ours; the equations were not at hand). The losses meet at the bottleneck tensor b. There we measure the
magnitude of each gradient,

    m_k = mean |dL_k / db|,      k = 1 (the anchor: reconstruction), 2, ... (distillation)

and learn its logarithm s_k, at its own learning rate, from the objective  sum_k  exp(-s_k) sg[m_k] + s_k,  whose
minimum is s_k = log m_k: s_k is a learned, smooth estimate of a noisy magnitude. The losses are then weighted by

    lambda_k = share_k exp(-s_k) / sum_j share_j exp(-s_j),      share_1 = 1, share_k = weight,

so that at the bottleneck each distillation gradient is `weight` times as large as the anchor's, whatever the scale of
either loss, the bits or the step. The weights sum to one (AdamW does not see a common factor).

Not to be confused with uncertainty weighting, sum exp(-s_k) L_k + s_k: its weights tend to the inverse of the loss
*values*, LMR's to the inverse of the loss *gradients* where both act. Two losses of equal value can pull with very
different force. GradNorm compares gradient norms too, but against relative training rates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from qdr.distill.balancers.base import Balancer, BottleneckGradients
from qdr.errors import QdrError


class Balance(Balancer):
    """Weights from learned log-magnitudes."""

    def __init__(self, terms: int, weight: float, every: int) -> None:
        super().__init__(terms, weight, every)
        self.log_share: Tensor
        self.measured: Tensor
        self.log_magnitude = nn.Parameter(torch.zeros(terms))
        self.register_buffer("log_share", torch.tensor([0.0] + [math.log(weight)] * (terms - 1)))
        self.register_buffer("measured", torch.zeros(terms))

    def observe(self, losses: Tensor, gradients: BottleneckGradients | None) -> None:
        if gradients is None:
            return
        magnitudes = gradients.magnitudes()
        if not bool((magnitudes > 0).all()):
            raise QdrError("a loss has no gradient at the bottleneck, where LMR weighs: choose another `balance`")
        first = not bool(self.measured.any())
        self.measured = magnitudes.clamp(min=1e-12)
        if first:
            with torch.no_grad():
                self.log_magnitude.copy_(self.measured.log())

    def weights(self) -> Tensor:
        return torch.softmax(self.log_share - self.log_magnitude.detach(), dim=0)

    def own_loss(self, losses: Tensor) -> Tensor:
        return (torch.exp(-self.log_magnitude) * self.measured + self.log_magnitude).sum()
