"""LMR as a loss balancer of NVIDIA's Model-Optimizer (`modelopt.torch.distill`, seen in 0.47), whose own are constant.

    import modelopt.torch.distill as mtd
    from modelopt_lmr import LMRBalancer

    criterion = {("bottleneck", "bottleneck"): torch.nn.L1Loss()}
    balancer = LMRBalancer("bottleneck")
    config = {"teacher_model": teacher, "criterion": criterion, "loss_balancer": balancer}
    model = mtd.convert(model, mode=[("kd_loss", config)])
    balancer.watch(model)
    out = model(x)
    model.compute_kd_loss(student_loss=(out - target).abs().mean()).backward()

Model-Optimizer gives a balancer the losses alone and demands that it has no parameters (`KDLossConfig`). LMR weighs by
gradients at a tensor and learns: so the balancer watches that tensor by a hook on the student's layer, and its learned
magnitudes lie in an object that is no module. It returns a scalar whose gradient is that of the weighted sum; LMR's own step
is done when the losses are weighed. The student's loss is the anchor, or without one the first criterion's.
"""

from __future__ import annotations

from typing import Any

import torch
from modelopt.torch.distill.loss_balancers import STUDENT_LOSS_KEY, DistillationLossBalancer
from torch import Tensor, nn

from qdr.distill.balancers.base import Pulls
from qdr.distill.balancers.lmr import Balance
from qdr.errors import QdrError


class LMRBalancer(DistillationLossBalancer):
    """Weighs losses so that their gradients at a layer's output have given magnitudes.

    Args:
        at: name of the student's layer where the losses meet.
        share: of the gradient there that each loss but the anchor should have, in units of the anchor's.
        every: steps between two measurements.
        lr: learning rate of the logarithms of the magnitudes.
    """

    def __init__(self, at: str, share: float = 1.0, every: int = 5, lr: float = 0.05) -> None:
        super().__init__()
        self.at, self.share, self.every, self.lr = at, share, every, lr
        self._held: dict[str, Any] = {"step": 0}  # no module: Model-Optimizer refuses balancers with parameters

    def watch(self, model: nn.Module) -> None:
        """See the layer's output of every pass of a converted student."""

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._held["feature"] = output

        model.get_submodule(self.at).register_forward_hook(keep)

    def weights(self) -> Tensor | None:
        """The weights of the last losses, [k]; None before the first."""
        balance = self._held.get("balance")
        return None if balance is None else balance.weights()

    def forward(self, loss: dict[str, Tensor]) -> Tensor:
        """The weighted sum of the losses, a scalar with gradients.

        Raises:
            QdrError: when no pass was watched, or a loss has no gradient at the layer.
        """
        losses = dict(loss)
        anchor = losses.pop(STUDENT_LOSS_KEY, None)
        reduce = self._student_loss_reduction_fn
        first = [] if anchor is None else [anchor if reduce is None else reduce(anchor)]
        terms = [*first, *losses.values()]
        if len(terms) == 1:
            return terms[0]
        feature = self._held.pop("feature", None)
        if feature is None:
            raise QdrError(f"LMR saw no output of {self.at!r}: call watch(model) after mtd.convert")
        if not torch.is_grad_enabled() or not feature.requires_grad:
            return torch.stack(terms).sum()  # validation: nothing is weighed
        return (self._weigh(terms, feature) * torch.stack(terms)).sum()

    def _weigh(self, terms: list[Tensor], feature: Tensor) -> Tensor:
        held = self._held
        if "balance" not in held:
            held["balance"] = Balance(len(terms), self.share, self.every)
            held["optimizer"] = torch.optim.AdamW(held["balance"].parameters(), lr=self.lr, weight_decay=0.0)
        balance, optimizer = held["balance"], held["optimizer"]
        values = torch.stack([term.detach() for term in terms]).cpu()
        balance.observe(values, Pulls.measure(terms, feature) if held["step"] % self.every == 0 else None)
        weights: Tensor = balance.weights()
        optimizer.zero_grad()
        balance.own_loss(values).backward()
        optimizer.step()
        held["step"] += 1
        return weights.to(feature.device)
