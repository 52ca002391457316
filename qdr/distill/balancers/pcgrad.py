"""PCGrad: a gradient that opposes another loses the opposing part.

Yu et al., NeurIPS 2020 (arXiv 2001.06782), algorithm 1: g_i <- g_i - (g_i . g_j) / |g_j|^2 g_j for each j with
g_i . g_j < 0; the step is the sum. The gradients are those of all parameters, each loss's own backward pass. READING: the
order of j is the order of the losses (with two losses there is only one), and the losses that distil are multiplied by
`weight` beforehand. A projection takes no notice of the length of g_j: a loss of however little weight would take from the
reconstruction all that opposes it. A gradient therefore gives way in the ratio of the weights, w_j / w_i, and wholly only
from equal weights on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qdr import ranks
from qdr.distill.balancers.base import Balancer


class Balance(Balancer):
    """Fixed weights, then projection."""

    def weights(self) -> Tensor:
        return torch.tensor([1.0] + [self.weight] * (self.terms - 1))

    def spread(self, losses: list[Tensor], weights: Tensor, model: nn.Module) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        rows = []
        for weight, loss in zip(weights, losses, strict=True):
            found = torch.autograd.grad(weight * loss, parameters, retain_graph=True, allow_unused=True)
            pairs = zip(found, parameters, strict=True)
            rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs]))
        total = project(ranks.mean(torch.stack(rows)), weights).sum(dim=0)
        for parameter, piece in zip(parameters, torch.split(total, [p.numel() for p in parameters]), strict=True):
            piece = piece.reshape(parameter.shape)
            parameter.grad = piece.clone() if parameter.grad is None else parameter.grad + piece


def project(gradients: Tensor, weights: Tensor) -> Tensor:
    """Each row without its part against every other row, [k, n], by the ratio of their weights [k], at most 1."""
    projected = gradients.clone()
    for i, row in enumerate(projected):
        for j, other in enumerate(gradients):
            against = torch.dot(row, other)
            if i != j and against < 0:
                row -= min(1.0, float(weights[j] / weights[i])) * against / other.square().sum() * other
    return projected
