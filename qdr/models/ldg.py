"""Learnable Degradation Gating (LDG): let the network act where the degradation is.

FACT (arXiv 2603.09624, abstract): the EFM has a lightweight LDG that modulates where the degradation sits in the image.

READING (ours; the equations were not at hand). One gate after each halving, a single map for all channels:

    g = sigmoid(a * conv1(x) + b)            [n, 1, h, w], in (0, 1)
    x <- x + m * (g * conv2(x))              [n, c, h, w]

The scalars a, b and m are absorbed in the weights and bias of the two 1x1 convolutions, which is the same function
with three fewer operations for the integer engine. At the start conv1 is small (g near 1/2 everywhere) and conv2 is
small (the block is near the identity). Sigmoid times convolution stays fused in INT8 engines; hard-sigmoid does not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qdr.models.blocks import QuantPoint


class DegradationGate(nn.Module):
    """The gate of one level, [n, c, h, w] -> [n, c, h, w]; `x` is quantized, and so is the result."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.where = nn.Conv2d(channels, 1, 1)
        self.what = nn.Conv2d(channels, channels, 1)
        self.point = QuantPoint()
        with torch.no_grad():
            self.where.weight.mul_(0.5)
            self.what.weight.mul_(0.1)

    def gate(self, x: Tensor) -> Tensor:
        """The gate map g in (0, 1), [n, 1, h, w]."""
        return torch.sigmoid(self.where(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.point(x + self.gate(x) * self.what(x))  # type: ignore[no-any-return]


class ScalingGate(nn.Module):
    """A cheaper gate for comparison, `x <- 2 g x` with the same map g; the identity at the start. Shapes as above."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.where = nn.Conv2d(channels, 1, 1)
        self.point = QuantPoint()
        nn.init.zeros_(self.where.weight)
        nn.init.zeros_(self.where.bias)  # type: ignore[arg-type]

    def gate(self, x: Tensor) -> Tensor:
        """The gate map g in (0, 1), [n, 1, h, w]."""
        return torch.sigmoid(self.where(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.point(x * (2 * self.gate(x)))  # type: ignore[no-any-return]
