"""Muon beside AdamW: a weight matrix takes its steps along the nearest orthogonal matrix, so that all its directions learn.

FACT (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): momentum with Nesterov's correction, then five
Newton-Schulz iterations x <- a x + b (x x^T) x + c (x x^T)^2 x, a, b, c = 3.4445, -4.7750, 2.0315, which bring the singular
values of the step near 1. The matrix of a convolution is [out, in * height * width]; a tall one's steps are sqrt(out / in)
times as long. Layers that map to or from few channels (the image's) stay with AdamW.

OURS: all iterations are done on the Gram matrix x x^T: the same product in another order and, for 3x3 convolutions, less
than half of the work.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM = 0.95
NARROW = 16  # rows or columns below which a matrix is no matrix


def is_matrix(parameter: nn.Parameter) -> bool:
    """Whether a parameter is the weight of a layer between many channels."""
    return parameter.dim() == 4 and min(parameter.shape[0], parameter[0].numel()) >= NARROW


class Muon(torch.optim.AdamW):
    """AdamW, but for groups with the key `matrices`, whose parameters take Muon's steps."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step."""
        for group in self.param_groups:
            if group.get("matrices"):
                for parameter in [p for p in group["params"] if p.grad is not None]:
                    self._turn(parameter, group["lr"], group["weight_decay"])
                    parameter.grad = None  # AdamW passes over it
        return super().step(closure)

    def _turn(self, parameter: nn.Parameter, lr: float, weight_decay: float) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(parameter)}  # AdamW wants a step in each state
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        matrix = gradient.lerp(state["momentum"], MOMENTUM).flatten(1)
        tall = matrix.shape[0] > matrix.shape[1]
        turned = orthogonal(matrix.T).T if tall else orthogonal(matrix)
        parameter.mul_(1 - lr * weight_decay)
        parameter.add_(turned.reshape(parameter.shape), alpha=-lr * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix [n, m], n <= m, of about the same singular vectors and of singular values near 1."""
    a, b, c = COEFFICIENTS
    scaled = matrix / (matrix.norm() + 1e-7)
    gram, one = scaled @ scaled.T, torch.eye(len(scaled), device=matrix.device)
    product = one
    for _ in range(ITERATIONS):
        factor = a * one + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    orthogonalized: Tensor = product @ scaled
    return orthogonalized
