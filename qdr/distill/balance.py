"""Balancing reconstruction against distillation: a fixed weight, or Learnable Magnitude Reweighting (LMR).

FACT (arXiv 2603.09624, abstract): quantization noise sets the reconstruction and the distillation gradient against each
other, and LMR balances these competing gradients dynamically.

READING (ours; the equations were not at hand). The two losses meet at the bottleneck tensor b. There we measure the
magnitude of each gradient,

    m_k = mean |dL_k / db|,      k in {rec, distill},

and learn its logarithm s_k, at its own learning rate, from the objective  sum_k  exp(-s_k) sg[m_k] + s_k,  whose
minimum is s_k = log m_k: s_k is a learned, smooth estimate of a noisy magnitude. The losses are then weighted by

    lambda_k = share_k exp(-s_k) / sum_j share_j exp(-s_j),      share_rec = 1,

so that at the bottleneck the distillation gradient is `share` times as large as the reconstruction gradient, whatever
the scale of either loss, the bits or the step. The weights sum to one (AdamW does not see a common factor).

Not to be confused with uncertainty weighting (Kendall et al., CVPR 2018, arXiv 1705.07115), sum exp(-s_k) L_k + s_k:
its weights tend to 1 / L_k, the inverse of the loss *values*; LMR's tend to the inverse of the loss *gradients* where
both act. Two losses of equal value can pull with very different force. GradNorm (Chen et al., ICML 2018, arXiv 1711.02257)
compares gradient norms too, but of the shared weights and against relative training rates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

Log = dict[str, float]


class FixedWeight(nn.Module):
    """`L = L_rec + weight * L_distill`."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def combine(self, rec: Tensor, distill: Tensor, bottleneck: Tensor, step: int) -> tuple[Tensor, Log]:
        return rec + self.weight * distill, {"weight_rec": 1.0, "weight_distill": self.weight}


class LMR(nn.Module):
    """Learnable Magnitude Reweighting; see the module's docstring.

    Args:
        share: wanted ratio of the distillation to the reconstruction gradient at the bottleneck.
        every: steps between two measurements of the gradients (each costs one more backward pass of the decoder).
    """

    def __init__(self, share: float, every: int) -> None:
        super().__init__()
        self.every = every
        self.log_share: Tensor
        self.measured: Tensor
        self.log_magnitude = nn.Parameter(torch.zeros(2))
        self.register_buffer("log_share", torch.tensor([0.0, float(torch.tensor(share).log())]))
        self.register_buffer("measured", torch.zeros(2))

    def weights(self) -> Tensor:
        """lambda_rec and lambda_distill, positive, summing to one."""
        return torch.softmax(self.log_share - self.log_magnitude.detach(), dim=0)

    def combine(self, rec: Tensor, distill: Tensor, bottleneck: Tensor, step: int) -> tuple[Tensor, Log]:
        log: Log = {}
        if step % self.every == 0:
            log = self._measure(rec, distill, bottleneck)
        weights = self.weights()
        learn = (torch.exp(-self.log_magnitude) * self.measured + self.log_magnitude).sum()
        loss = weights[0] * rec + weights[1] * distill
        log |= {"weight_rec": float(weights[0]), "weight_distill": float(weights[1])}
        return loss + (learn - learn.detach()), log

    def _measure(self, rec: Tensor, distill: Tensor, bottleneck: Tensor) -> Log:
        (pull_rec,) = torch.autograd.grad(rec, bottleneck, retain_graph=True)
        (pull_distill,) = torch.autograd.grad(distill, bottleneck, retain_graph=True)
        a, b = pull_rec.float().flatten(), pull_distill.float().flatten()
        first = not bool(self.measured.any())
        self.measured = torch.stack([a.abs().mean(), b.abs().mean()]).clamp(min=1e-12)
        if first:
            with torch.no_grad():
                self.log_magnitude.copy_(self.measured.log())
        cosine = torch.dot(a, b) / (a.norm() * b.norm()).clamp(min=1e-20)
        return {"grad_rec": float(a.abs().mean()), "grad_distill": float(b.abs().mean()), "grad_cosine": float(cosine)}
