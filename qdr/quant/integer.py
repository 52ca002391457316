"""The convolution of two tensors on their grids, in the numbers an INT8 engine computes, also where training runs in bf16.

With x_hat = s_x q_x, w_hat = s_w q_w and a bias that is a multiple of s_x s_w, an engine computes

    y = s_x s_w (conv(q_x, q_w) + q_b),      q_b = round(b / (s_x s_w)),

all but the scaling in integers. So does the forward pass here, in FP32 tensors. Codes of up to 8 bits fit bf16's 8
significant bits and TF32's 11, so their products are exact in reduced precision too, and the sums in FP32 below 2^24: the
result does not depend on the precision of the multiplication, and the fastest that the device has is allowed.

The backward pass is that of a convolution of x_hat with w_hat, in bf16 under autocast: gradients lie on no grid. The bias
gets its gradient straight through the rounding.

Measured on a Xeon with AMX (EFM, W8A8; time of a QAT step over a plain FP32 one; what is at the output and in the quantized
tensors of 8 scenes of rain against this arithmetic: RMS over the RMS error of INT8 itself, share of codes that differ):

    ================================================  =========  ==========  =============
    everything in bf16                                0.89-0.95  96 %        9.2 %
    FP32 quantization, bf16 convolutions              0.95-0.99  86 to 89 %  7.8 to 8.2 %
    codes in bf16 convolutions, sums rounded to bf16  1.11       77 %        6.1 %
    this                                              1.04-1.10  0           0
    FP32 throughout, real numbers                     1.31       7 %         0.03 %
    ================================================  =========  ==========  =============

Most of what bf16 gets wrong is the sum rounded on its way out, which no quantizer can undo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

Grid = tuple[Tensor, Tensor]  # integers and step
Sides = tuple[int, ...]
Geometry = tuple[Sides, Sides, Sides, bool, Sides, int]  # stride, padding, dilation, transposed, output padding, groups


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        x_codes: Tensor,
        weight_codes: Tensor,
        x_step: Tensor,
        weight_step: Tensor,
        geometry: Geometry,
    ) -> Tensor:
        ctx.save_for_backward(x_codes, weight, x_step)
        ctx.geometry, ctx.bf16 = geometry, torch.is_autocast_enabled(x.device.type)
        step = (x_step * weight_step).flatten()  # [out] or [1]
        bias_codes = None if bias is None else (bias / step).round_()
        with torch.autocast(x.device.type, enabled=False), _bf16_products():
            total = torch.convolution(x_codes, weight_codes, bias_codes, *geometry)
        return total.mul_(step.reshape(1, -1, 1, 1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (x_codes, weight, x_step) = grads, ctx.saved_tensors
        if ctx.bf16:
            grad, x_codes, weight = grad.bfloat16(), x_codes.bfloat16(), weight.bfloat16()
        needed = list(ctx.needs_input_grad[:3])
        to_x, to_weight, to_bias = torch.ops.aten.convolution_backward(
            grad, x_codes, weight, [grad.shape[1]], *ctx.geometry, needed
        )
        return to_x, None if to_weight is None else to_weight * x_step, to_bias, None, None, None, None, None


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, grids: tuple[Grid, Grid], geometry: Geometry) -> Tensor:
    """Convolve `x` [n, in, h, w] with `weight`, both FP32 on grids of up to 8 bits.

    Args:
        x: multiples of its step.
        weight: multiples of its step or steps, [out, in / groups, kh, kw], transposed [in, out / groups, kh, kw].
        bias: [out], real-valued, or None; it is snapped here.
        grids: integers and step of `x` (a scalar) and of `weight` (one per output channel, or one).
        geometry: stride, padding, dilation, transposed, output padding, groups, as of `torch.convolution`.
    """
    (x_codes, x_step), (weight_codes, weight_step) = grids
    return _Convolution.apply(  # type: ignore[no-any-return, no-untyped-call]
        x, weight, bias, x_codes, weight_codes, x_step, weight_step, geometry
    )


def grid(x: Tensor, step: Callable[[], Tensor]) -> Grid:
    """Integers and step of a quantized tensor: those that its quantizer left with it, or by division where it left none or
    something was written into the tensor since.
    """
    left: Grid | None = getattr(x, "grid", None)
    if left is not None and not x.is_inference() and x._version == 0:
        return left
    with torch.no_grad():
        size = step()
        return (x / size).round_(), size


@contextmanager
def _bf16_products() -> Iterator[None]:
    """Allow oneDNN to multiply FP32 tensors in bf16 (with AMX), sums in FP32. On CUDA, TF32 is torch's default."""
    convolutions = torch.backends.mkldnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "bf16"
    try:
        yield
    finally:
        convolutions.fp32_precision = before
