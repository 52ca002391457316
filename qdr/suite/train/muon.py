"""Muon beside AdamW: a weight matrix takes its steps along the nearest orthogonal matrix, so that all its directions learn.

FACT (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): momentum with Nesterov's correction, then five
Newton-Schulz iterations x <- a x + b (x x^T) x + c (x x^T)^2 x, a, b, c = 3.4445, -4.7750, 2.0315, which bring the singular
values of the step near 1. The matrix of a convolution is [out, in * height * width]; a tall one's steps are sqrt(out / in)
times as long. Layers that map to or from few channels (the image's) stay with AdamW.

OURS: all iterations are done on the Gram matrix x x^T: the same product in another order and, for 3x3 convolutions, less
than half of the work. Matrices of one shape take their steps together, which on a CUDA device are few and large kernels.
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
                alike: dict[tuple[int, ...], list[nn.Parameter]] = {}
                for parameter in [p for p in group["params"] if p.grad is not None]:
                    alike.setdefault(tuple(parameter.shape), []).append(parameter)
                for parameters in alike.values():
                    self._turn(parameters, group["lr"], group["weight_decay"])
        return super().step(closure)

    def _turn(self, parameters: list[nn.Parameter], lr: float, weight_decay: float) -> None:
        """A step of parameters of one shape."""
        values: list[Tensor] = [p.data for p in parameters]
        states = [self.state[p] for p in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if not state:  # AdamW wants a step in each state
                state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(parameter)}
        gradients = [p.grad for p in parameters if p.grad is not None]
        momenta = [state["momentum"] for state in states]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        matrices = torch.stack(torch._foreach_lerp(gradients, momenta, MOMENTUM)).flatten(2)
        tall = matrices.shape[1] > matrices.shape[2]
        turned = orthogonal(matrices.mT).mT if tall else orthogonal(matrices)
        steps = list(turned.reshape(-1, *parameters[0].shape).unbind())
        torch._foreach_mul_(values, 1 - lr * weight_decay)
        torch._foreach_add_(values, steps, alpha=-lr * max(1.0, matrices.shape[1] / matrices.shape[2]) ** 0.5)
        for parameter in parameters:
            parameter.grad = None  # AdamW passes over it


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices [k, n, m], n <= m, of about the same singular vectors and of singular values near 1."""
    a, b, c = COEFFICIENTS
    scaled = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram, one = scaled @ scaled.mT, torch.eye(scaled.shape[1], device=matrices.device)
    product = one
    for _ in range(ITERATIONS):
        factor = a * one + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    orthogonalized: Tensor = product @ scaled
    return orthogonalized
