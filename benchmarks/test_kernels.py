"""The two layers that quantization-aware training adds to a network, forward and backward."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.references import Check, Work, convolution, copy
from qdr.quant.layers import ActivationQuantizer, QuantConv2d
from qdr.quant.quantizers.lsq import fake_quantize


def image(channels: int, side: int) -> Tensor:
    """A batch of features that a training step meets."""
    torch.manual_seed(0)
    features = torch.randn(8, channels, side, side).contiguous(memory_format=torch.channels_last)
    return features.requires_grad_()


def test_lsq(perf: Check) -> None:
    """Eight small steps in a round: large tensors are mapped anew each time, which costs what the system pleases."""
    x, log_scale = image(32, 32), torch.tensor(-4.0, requires_grad=True)
    upstream = torch.ones_like(x)

    def run() -> None:
        for _ in range(8):
            x.grad = log_scale.grad = None
            fake_quantize(x, log_scale, -128, 127).backward(upstream)

    perf("kernel: LSQ, forward and backward", run, copy(), 60)


def test_quantized_convolution(perf: Check) -> None:
    perf("kernel: quantized convolution step", _convolution_step(), convolution(), 40)


def _convolution_step() -> Work:
    x, source = image(32, 32), ActivationQuantizer("lsq", 8, "minmax")
    layer = QuantConv2d(nn.Conv2d(32, 32, 3, padding=1), "lsq", 8, "minmax").to(memory_format=torch.channels_last)
    layer.feed_from(source)
    source(x)
    source.settle()
    layer.settle()

    def run() -> None:
        x.grad = None
        layer.zero_grad()
        source.zero_grad()
        layer(source(x)).sum().backward()

    return run
