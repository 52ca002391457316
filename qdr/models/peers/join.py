"""A convolution of concatenated tensors without the concatenation.

`conv(cat(a, b)) = conv_a(a) + conv_b(b)`, with the weight cut along its input channels: the same function and the same
work. OpenVINO 2026.4 moves the quantization of a concatenation in front of it and then returns wrong values where the
tensors come from convolutions (10 grey levels on average for Zero-DCE, 30 for AOD-Net); the sum has no such step, and each
tensor gets a scale of its own.

Each convolution has a bias, because the quantized layers need one: one vector more per further tensor than the paper's.
"""

from __future__ import annotations

from torch import Tensor, nn


class JoinedConv2d(nn.Module):
    """The sum of a `kernel` x `kernel` convolution per tensor, [n, channels[i], h, w] each -> [n, out_channels, h, w]."""

    def __init__(self, channels: tuple[int, ...], out_channels: int, kernel: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, out_channels, kernel, padding=kernel // 2) for c in channels)

    def forward(self, *tensors: Tensor) -> Tensor:
        first, *others = (conv(x) for conv, x in zip(self.convs, tensors, strict=True))
        total: Tensor = sum(others, start=first)
        return total
