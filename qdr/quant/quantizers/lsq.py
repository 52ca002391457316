"""Learned Step-size Quantization (LSQ): the scale is trained with the weights.

Esser et al., ICLR 2020 (arXiv 1902.08153). Forward: quantize and dequantize. Backward, with v = x / s:

    dx_hat/dx = 1                     where low < v < high, else 0        (straight-through)
    dx_hat/ds = round(v) - v          inside,   low or high               outside        (eq. 3)

We learn t = log s: a scale can never turn negative or zero, which plain LSQ does within a few hundred AdamW steps
and which only TensorRT reports. It also spares the divisions, since dx_hat/dt = s dx_hat/ds is

    dx_hat/dt = x_hat - x             inside,   x_hat                     outside.

Left out: the paper's factor 1 / sqrt(n * high) on this gradient (section 2.2). It balances the size of a scale's update
against the weights' under SGD. AdamW divides by the gradient's own size, so that the factor would change nothing but for
pushing gradients below AdamW's eps, where a scale hardly moves at all (`qdr.suite.train.optim` sets eps and the learning
rate).

torch's learnable fake-quantize operators do the same for plain s, with a fixed zero point and in FP32 only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qdr.quant.quantizers.base import Quantizer


class _LSQ(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, log_scale: Tensor, low: int, high: int) -> tuple[Tensor, Tensor, Tensor]:
        scale = log_scale.exp()
        integers = (x / scale).round_().clamp_(low, high)
        ctx.save_for_backward(x, integers, scale)
        ctx.low, ctx.high = low, high
        ctx.mark_non_differentiable(integers, scale)
        ctx.set_materialize_grads(False)
        return integers * scale, integers, scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, integers, scale = ctx.saved_tensors
        grad = grads[0]
        known = scale.dim() == 0 and not x.is_cuda  # to read a number off a CUDA device is to wait for it
        steps, step = (x, float(scale)) if known else (x / scale, 1.0)
        inside = torch.ops.aten.hardtanh_backward(grad, steps, step * ctx.low, step * ctx.high)  # 0 at the bounds and beyond
        if scale.dim() == 0:
            slope = scale * _dot(grad, integers) - _dot(inside, x)
        else:
            slope = (grad * integers).mul_(scale).addcmul_(inside, x, value=-1).sum_to_size(scale.shape)
        return inside, slope, None, None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The sum of a * b, in one pass over memory."""
    if a.dim() == 4 and a.is_contiguous(memory_format=torch.channels_last):
        a, b = a.movedim(1, -1), b.movedim(1, -1)
    return torch.dot(a.reshape(-1), b.reshape(-1))


def fake_quantize(x: Tensor, log_scale: Tensor, low: int, high: int) -> Tensor:
    """Quantize and dequantize `x` on the grid [low, high] with scale exp(log_scale), both trainable.

    The result carries its integers and its scale, as the attribute `grid`, so that a convolution need not divide again.

    Args:
        x: any shape, FP32.
        log_scale: a scalar, or one entry per slice along an axis: a tensor with the dimensions of `x`, 1 elsewhere.
        low: the smallest integer.
        high: the largest integer.
    """
    x_hat, *grid = _LSQ.apply(x, log_scale, low, high)  # type: ignore[no-untyped-call]
    x_hat.grid = grid
    return x_hat  # type: ignore[no-any-return]


class LSQ(Quantizer):
    """Learned Step-size Quantization."""

    def forward(self, x: Tensor) -> Tensor:
        return fake_quantize(x, self.log_scale, self.low, self.high)


Weights = Activations = LSQ
