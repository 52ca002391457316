"""The two quantized layers: a tensor on the grid, and a convolution whose weights and bias are.

Each has three modes. `observe` lets FP32 values pass and remembers a sample of them; `quantize` is fake quantization
with trainable scales; `export` emits ONNX QuantizeLinear / DequantizeLinear with the same scales (a mode of the layer,
because torch's exporter cannot translate a custom gradient and would write Div / Round / Clip that no engine fuses).

The bias is snapped to multiples of s_x * s_w, the grid of the integer accumulator, and stored in FP32: engines that
keep an INT32 bias and those that keep FP32 then compute the same number.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.quant.affine import integer_range, quantize
from qdr.quant.lsq import fake_quantize
from qdr.quant.observers import OBSERVERS

Mode = Literal["observe", "quantize", "export"]
_SAMPLE = 16384  # values kept per image


class ActivationQuantizer(nn.Module):
    """One scale for a tensor [n, c, h, w]: signed, zero point 0."""

    def __init__(self, bits: int, observer: str) -> None:
        super().__init__()
        self.bits, self.observer = bits, observer
        self.low, self.high = integer_range(bits)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.mode: Mode = "observe"
        self.seen: list[Tensor] = []
        self.register_buffer("scale", torch.ones(()), persistent=False)

    def settle(self) -> None:
        """Set the scale from the observed sample and start to quantize."""
        with torch.no_grad():
            self.log_scale.copy_(OBSERVERS[self.observer](torch.cat(self.seen), self.low, self.high).log())
        self.seen, self.mode = [], "quantize"

    def freeze(self) -> None:
        """Write the scale that `export` mode emits."""
        self.scale, self.mode = self.log_scale.detach().exp(), "export"

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "observe":
            flat = x.detach().float().flatten()
            self.seen += [flat[:: max(1, flat.numel() // _SAMPLE)], torch.stack([flat.min(), flat.max()])]
            return x
        if self.mode == "export":
            return _symbolic_qdq(x, self.scale)
        return fake_quantize(x, self.log_scale, self.low, self.high)


class QuantConv2d(nn.Module):
    """A convolution with one weight scale per output channel."""

    def __init__(self, conv: nn.Conv2d, bits: int, observer: str) -> None:
        super().__init__()
        self.conv, self.bits, self.observer = conv, bits, observer
        self.low, self.high = integer_range(bits, narrow=True)
        self.log_scale = nn.Parameter(torch.zeros(conv.out_channels, 1, 1, 1))
        self.mode: Mode = "observe"
        self._source: tuple[ActivationQuantizer, ...] = ()
        self.register_buffer("integers", torch.zeros(conv.weight.shape, dtype=torch.int8), persistent=False)
        self.register_buffer("bias", torch.zeros(conv.out_channels), persistent=False)
        self.register_buffer("scales", torch.ones(conv.out_channels), persistent=False)

    def feed_from(self, quantizer: ActivationQuantizer) -> None:
        """Name the quantizer of the input; kept in a tuple so that its parameters are not registered twice."""
        self._source = (quantizer,)

    def settle(self) -> None:
        """Set each channel's scale from its weights and start to quantize."""
        choose = OBSERVERS[self.observer]
        with torch.no_grad():
            scales = torch.stack([choose(w, self.low, self.high) for w in self.conv.weight.float()])
            self.log_scale.copy_(scales.log().reshape(self.log_scale.shape))
        self.mode = "quantize"

    def freeze(self) -> None:
        """Write the integer weights, their scales and the snapped bias that `export` mode emits."""
        with torch.no_grad():
            q = quantize(self.conv.weight, self.log_scale.exp(), self.low, self.high)
            self.integers, self.bias = q.to(torch.int8), self.snapped_bias()
            self.scales = self.log_scale.exp().flatten()
        self.mode = "export"

    def snapped_bias(self) -> Tensor:
        """The bias on the accumulator's grid s_x * s_w, [out]; the gradient passes straight through."""
        assert self.conv.bias is not None
        step = (self._source[0].log_scale.exp() * self.log_scale.exp().flatten()).detach()
        bias = self.conv.bias
        return bias + (torch.round(bias / step) * step - bias).detach()

    def forward(self, x: Tensor) -> Tensor:
        stride, padding = self.conv.stride, self.conv.padding
        if self.mode == "observe":
            return F.conv2d(x, self.conv.weight, self.conv.bias, stride, padding)
        if self.mode == "export":
            weight = _symbolic_dequantize(self.integers, self.scales)
            return F.conv2d(x, weight, self.bias, stride, padding)
        weight = fake_quantize(self.conv.weight, self.log_scale, self.low, self.high)
        return F.conv2d(x, weight, self.snapped_bias(), stride, padding)


def _symbolic_qdq(x: Tensor, scale: Tensor) -> Tensor:
    zero = torch.zeros((), dtype=torch.int8)
    q = torch.onnx.ops.symbolic("QuantizeLinear", (x, scale, zero), dtype=torch.int8, shape=x.shape, version=19)
    return torch.onnx.ops.symbolic("DequantizeLinear", (q, scale, zero), dtype=x.dtype, shape=x.shape, version=19)


def _symbolic_dequantize(integers: Tensor, scale: Tensor) -> Tensor:
    zeros = torch.zeros(scale.shape, dtype=torch.int8)
    return torch.onnx.ops.symbolic(
        "DequantizeLinear", (integers, scale, zeros), {"axis": 0}, dtype=scale.dtype, shape=integers.shape, version=19
    )
