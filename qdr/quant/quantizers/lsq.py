"""Learned Step-size Quantization (LSQ): the scale is trained with the weights.

Esser et al., ICLR 2020 (arXiv 1902.08153). Forward: quantize and dequantize. Backward, with v = x / s:

    dx_hat/dx = 1                     where low <= v <= high, else 0      (straight-through)
    dx_hat/ds = round(v) - v          inside,   low or high               outside        (eq. 3)

The gradient of s is multiplied by 1 / sqrt(n * high), n the number of values that share the scale (eq. 4 and section
2.2). We learn t = log s: a scale can never turn negative or zero, which plain LSQ does within a few hundred AdamW steps
and which only TensorRT reports. It also spares the divisions, since dx_hat/dt = s dx_hat/ds is

    dx_hat/dt = x_hat - x             inside,   x_hat                     outside.

torch's learnable fake-quantize operators do the same for plain s, with a fixed zero point and in FP32 only.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from qdr.quant.quantizers._base import Quantizer


class _LSQ(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, log_scale: Tensor, low: int, high: int) -> Tensor:
        scale = log_scale.exp().to(x.dtype)
        x_hat = (x / scale).round_().clamp_(low, high).mul_(scale)
        ctx.save_for_backward(x, x_hat, scale)
        ctx.low, ctx.high, ctx.shape = low, high, log_scale.shape
        return x_hat

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, x_hat, scale = ctx.saved_tensors
        grad = grads[0]
        if scale.dim() == 0:  # one kernel in place of four
            bounds = float(scale) * ctx.low, float(scale) * ctx.high
            inside = torch.ops.aten.hardtanh_backward(x, x, *bounds)
            passed = torch.ops.aten.hardtanh_backward(grad, x, *bounds)
        else:
            mask = (x >= scale * ctx.low) & (x <= scale * ctx.high)
            inside, passed = x * mask, grad * mask
        slope = torch.sub(x_hat, inside, out=inside).mul_(grad)
        shared = [d for d in range(x.dim()) if scale.dim() == 0 or scale.shape[d] == 1]
        total = slope.sum(shared, dtype=torch.float32 if x.dtype == torch.bfloat16 else None).reshape(ctx.shape)
        count = x.numel() // scale.numel()
        return passed, total / math.sqrt(count * ctx.high), None, None


def fake_quantize(x: Tensor, log_scale: Tensor, low: int, high: int) -> Tensor:
    """Quantize and dequantize `x` on the grid [low, high] with scale exp(log_scale), both trainable.

    Args:
        x: any shape, FP32 or BF16.
        log_scale: a scalar, or one entry per slice along an axis: a tensor with the dimensions of `x`, 1 elsewhere.
        low: the smallest integer.
        high: the largest integer.
    """
    return _LSQ.apply(x, log_scale, low, high)  # type: ignore[no-any-return, no-untyped-call]


class LSQ(Quantizer):
    """Learned Step-size Quantization."""

    def forward(self, x: Tensor) -> Tensor:
        return fake_quantize(x, self.log_scale, self.low, self.high)


Weights = Activations = LSQ
