"""An exponential moving average of what a training moves: weights and, as logarithms, scales.

    mean <- d mean + (1 - d) p,      d = min(decay, (1 + n) / (10 + n)) in the n-th step,

so that a short run forgets where it began. Averaged weights lie nearer the middle of a flat region than the last ones do
(Izmailov et al., UAI 2018, arXiv 1803.05407, who weigh the steps equally). Buffers are not averaged: they stay the last.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Average:
    """The average of a model's trainable parameters, on their device; part of a run's saved state.

    Args:
        model: on the device it is trained on.
        decay: in [0, 1); 0 keeps no average, and costs nothing.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.moving = [p for p in model.parameters() if p.requires_grad and decay]
        self.mean = [p.detach().clone() for p in self.moving]

    def update(self) -> None:
        """Take in the present parameters."""
        if self.moving:
            kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
            self.steps += 1
            torch._foreach_lerp_(self.mean, [p.detach() for p in self.moving], 1 - kept)

    def apply(self) -> None:
        """Put the average in the parameters' place."""
        for parameter, mean in zip(self.moving, self.mean, strict=True):
            parameter.data.copy_(mean)

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors."""
        return {"steps": self.steps, "mean": self.mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.steps = state["steps"]
        for mean, saved in zip(self.mean, state["mean"], strict=True):
            mean.copy_(saved)
