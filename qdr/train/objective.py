"""What a step minimizes: the reconstruction loss, and the distillation loss where a method distils.

Reconstruction is L1 in [0, 1] (Zhao et al. 2017, arXiv 1511.08861: L1 restores better than L2). The teacher runs beside
the student on the same batch, in evaluation mode and without gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qdr.distill.balance import LMR, FixedWeight, Log
from qdr.distill.losses import feature_distance
from qdr.distill.points import Taps, modules_at


def reconstruction(restored: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, [n, 3, h, w] in [0, 1]."""
    return (restored.float() - target).abs().mean()


class Objective(nn.Module):
    """The loss of a training step without distillation."""

    def loss(self, model: nn.Module, degraded: Tensor, target: Tensor, step: int) -> tuple[Tensor, Log]:
        """The loss of one batch ([n, 3, h, w] in [0, 1] each) and what to log."""
        loss = reconstruction(model(degraded), target)
        return loss, {"loss": float(loss.detach())}


class DistilledObjective(Objective):
    """Reconstruction balanced against the distance to the teacher's features at a place."""

    def __init__(self, teacher: nn.Module, place: str, balancer: LMR | FixedWeight) -> None:
        super().__init__()
        self.balancer = balancer
        self._teacher = (teacher.eval(),)  # in a tuple: its weights belong to no optimizer and no checkpoint
        self._names = modules_at(teacher, place)

    def loss(self, model: nn.Module, degraded: Tensor, target: Tensor, step: int) -> tuple[Tensor, Log]:
        teacher = self._teacher[0]
        with torch.no_grad(), Taps(teacher, self._names) as learned:
            teacher(degraded)
        with Taps(model, [*self._names, "bottleneck"]) as taps:
            restored = model(degraded)
        bottleneck = taps.features["bottleneck"]
        rec = reconstruction(restored, target)
        distill = feature_distance({name: taps.features[name] for name in self._names}, learned.features)
        loss, log = self.balancer.combine(rec, distill, bottleneck, step)
        seen = {"loss": float(loss.detach()), "loss_rec": float(rec.detach()), "loss_distill": float(distill.detach())}
        return loss, seen | log
