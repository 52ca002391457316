"""The two layers that quantization-aware training adds to a network, forward and backward, beside torch's own.

Their references are torch's fake quantization with a fixed scale and a plain convolution, on the same tensor: both sides
lose the cache alike when another program has its turn, which a fixed convolution or copy does not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.references import Check, Work
from qdr.quant.layers import ActivationQuantizer, QuantConv2d
from qdr.quant.quantizers.lsq import fake_quantize

STEPS = 16  # in a round


def stepping(forward: Callable[[Tensor], Tensor], *leaves: Tensor) -> Work:
    """Forward and backward on a batch at the bottleneck of a training step, 256 KiB."""
    torch.manual_seed(0)
    x = torch.randn(8, 32, 16, 16).contiguous(memory_format=torch.channels_last).requires_grad_()
    upstream = torch.ones_like(x)

    def run() -> None:
        for _ in range(STEPS):
            for leaf in (x, *leaves):
                leaf.grad = None
            forward(x).backward(upstream)

    return run


def test_lsq(perf: Check) -> None:
    log_scale = torch.tensor(-4.0, requires_grad=True)
    scale = float(log_scale.detach().exp())
    ours = stepping(lambda x: fake_quantize(x, log_scale, -128, 127), log_scale)
    fixed = stepping(lambda x: torch.fake_quantize_per_tensor_affine(x, scale, 0, -128, 127))
    perf("kernel: LSQ over torch's fixed scale", ours, fixed, 60)


def test_quantized_convolution(perf: Check) -> None:
    conv = nn.Conv2d(32, 32, 3, padding=1).to(memory_format=torch.channels_last)
    plain = stepping(conv, *conv.parameters())
    source, layer = ActivationQuantizer("lsq", 8, "minmax"), QuantConv2d(conv, "lsq", 8, "minmax")
    layer.feed_from(source)
    source(torch.randn(8, 32, 16, 16))
    source.settle()
    layer.settle()
    quantized = stepping(lambda x: layer(source(x)), *layer.parameters(), *source.parameters())
    perf("kernel: quantized convolution over plain", quantized, plain, 40)
