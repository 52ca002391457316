"""What every balancer has: the losses and their gradients at the bottleneck in, parameter gradients out.

A balancer lives on the CPU and sees the whole batch, however many processes share it (`qdr.ranks`): losses are means over
processes, gradients at the bottleneck stand side by side.

The first loss is the anchor (reconstruction, or the teacher's output where there is no ground truth), the others
distil. Losses meet at the bottleneck tensor b; `BottleneckGradients` holds dL_k/db for each of them, measured every so many
steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qdr import ranks

Log = dict[str, float]


@dataclass(frozen=True)
class BottleneckGradients:
    """Gradients of the losses at the bottleneck, [k, numel]; zero for a loss that does not reach it."""

    gradients: Tensor

    @classmethod
    def measure(cls, losses: list[Tensor], bottleneck: Tensor) -> BottleneckGradients:
        """One backward pass from each loss to the bottleneck; the graph is kept."""
        rows = []
        for loss in losses:
            (gradient,) = torch.autograd.grad(loss, bottleneck, retain_graph=True, allow_unused=True)
            rows.append(torch.zeros_like(bottleneck, dtype=torch.float32) if gradient is None else gradient.float())
        gradients = torch.stack([row.flatten() for row in rows])
        return cls((ranks.joined(gradients) / ranks.world() if ranks.world() > 1 else gradients).cpu())

    def magnitudes(self) -> Tensor:
        """`mean |dL_k/db|`, [k]."""
        return self.gradients.abs().mean(dim=1)

    def norms(self) -> Tensor:
        """Euclidean norms, [k]."""
        return self.gradients.square().sum(dim=1).sqrt()

    def cosine(self) -> float:
        """Cosine between the anchor's gradient and the sum of the others."""
        a, b = self.gradients[0], self.gradients[1:].sum(dim=0)
        return float(torch.dot(a, b) / (a.norm() * b.norm()).clamp(min=1e-20))


class Balancer(nn.Module):
    """Weighs losses.

    Args:
        terms: number of losses.
        weight: of each loss but the first; what it means is the subclass's.
        every: steps between two measurements of the gradients at the bottleneck.
    """

    def __init__(self, terms: int, weight: float, every: int) -> None:
        super().__init__()
        self.terms, self.weight, self.every = terms, weight, every
        self.fade = 1.0  # factor of the weights of all losses but the first

    def observe(self, losses: Tensor, gradients: BottleneckGradients | None) -> None:
        """See the values of the losses [k] at every step and, at some, their gradients at the bottleneck."""

    def weights(self) -> Tensor:
        """The present weights, [k], without gradient."""
        raise NotImplementedError

    def own_loss(self, losses: Tensor) -> Tensor | None:
        """What the balancer's own parameters minimize, given the values of the losses [k]."""
        return None

    def backward(self, losses: dict[str, Tensor], bottleneck: Tensor | None, model: nn.Module, step: int) -> Log:
        """Add the gradients of a step to the parameters' `grad` and return what to log."""
        values = ranks.mean(torch.stack([loss.detach() for loss in losses.values()])).cpu()
        log: Log = {f"loss_{name}": float(value) for name, value in zip(losses, values, strict=True)}
        if len(losses) == 1:
            (loss,) = losses.values()
            loss.backward()  # type: ignore[no-untyped-call]
            return log | {"loss": float(values)}
        gradients = None
        if bottleneck is not None and step % self.every == 0:
            gradients = BottleneckGradients.measure(list(losses.values()), bottleneck)
            log |= {f"grad_{name}": float(value) for name, value in zip(losses, gradients.magnitudes(), strict=True)}
            log["grad_cosine"] = gradients.cosine()
        self.observe(values, gradients)
        weights = self.weights() * torch.tensor([1.0] + [self.fade] * (self.terms - 1))
        log |= {f"weight_{name}": float(weight) for name, weight in zip(losses, weights, strict=True)}
        self.spread(list(losses.values()), weights, model)
        own = self.own_loss(values)
        if own is not None:
            own.backward()  # type: ignore[no-untyped-call]
        return log | {"loss": float((weights * values).sum())}

    def spread(self, losses: list[Tensor], weights: Tensor, model: nn.Module) -> None:
        """Send the gradient of the weighted sum to the parameters."""
        torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)]).sum().backward()  # type: ignore[no-untyped-call]
