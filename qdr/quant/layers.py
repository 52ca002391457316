"""The two quantized layers: a tensor on the grid, and a convolution whose weights and bias are.

Each has four modes. `float` lets FP32 values pass; `observe` too, and remembers a sample of them; `quantize` is fake
quantization with the quantizer's own gradients; `export` emits ONNX QuantizeLinear / DequantizeLinear with the same scales
(a mode of the layer, because torch's exporter cannot translate a custom gradient and would write Div / Round / Clip that
no engine fuses).

The bias is snapped to multiples of s_x * s_w, the grid of the integer accumulator, and stored in FP32: engines that
keep an INT32 bias and those that keep FP32 then compute the same number.

Under autocast `quantize` computes the same bits as without: quantizers see FP32, convolutions compute in integers
(`qdr.quant.integer`).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.errors import QdrError, check_choice
from qdr.quant import quantizers
from qdr.quant.affine import integer_range
from qdr.quant.integer import convolution, grid
from qdr.quant.observers import OBSERVERS, WEIGHT_OBSERVERS

Mode = Literal["float", "observe", "quantize", "export"]
_SAMPLE, _IMAGES = 16384, 32  # values kept of an image; images of which values are kept


class ActivationQuantizer(nn.Module):
    """A tensor [n, c, h, w] on one grid with one scale.

    Args:
        quantizer: name of a file in `qdr/quant/quantizers`.
        bits: width.
        observer: how the scale is calibrated.
        unsigned: use [0, 2**bits - 1] if no negative value was seen; else the grid is signed.
    """

    def __init__(self, quantizer: str, bits: int, observer: str, unsigned: bool = False) -> None:
        super().__init__()
        check_choice("observer", observer, OBSERVERS)
        self.bits, self.observer, self.unsigned = bits, observer, unsigned
        self.quantizer = quantizers.activations(quantizer, *integer_range(bits))
        self.mode: Mode = "observe"
        self.seen: list[Tensor] = []  # of each image its least and its largest value, then a sample
        self.images = 0  # observed so far
        self.register_buffer("scale", torch.ones(()), persistent=False)

    def settle(self) -> None:
        """Set the grid and the scale from the observed samples and start to quantize."""
        if self.unsigned and min(float(sample.amin()) for sample in self.seen) >= 0:
            self.quantizer.low, self.quantizer.high = 0, 2**self.bits - 1
        scale = OBSERVERS[self.observer](self.seen, self.quantizer.low, self.quantizer.high)
        self.quantizer.calibrate(self.seen, scale)
        self.forget()
        self.mode = "quantize"

    def forget(self) -> None:
        """Drop what was observed."""
        self.seen, self.images = [], 0

    def freeze(self) -> None:
        """Write the scale that `export` mode emits."""
        if not self.quantizer.exports or self.quantizer.low == 0:
            raise QdrError("engines need a signed grid with zero point 0: this model runs as fake quantization only")
        self.scale, self.mode = self.quantizer.scale(torch.empty(0)).detach(), "export"

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "quantize":
            return self.quantizer(x.float())  # type: ignore[no-any-return]
        if self.mode == "export":
            return _symbolic_qdq(x, self.scale)
        if self.mode == "observe":
            self._observe(x.detach().float().flatten())
        return x

    def _observe(self, values: Tensor) -> None:
        """Keep values at random positions. After `_IMAGES` images a new one takes the place of a random earlier one, or of
        none (reservoir sampling), so that memory is bounded; least and largest values are those of all.
        """
        random = torch.Generator().manual_seed(self.images)
        ends, sample = torch.stack(values.aminmax()), values
        if values.numel() > _SAMPLE:
            sample = values[torch.randint(values.numel(), (_SAMPLE,), generator=random)]
        if self.images < _IMAGES:
            self.seen.append(torch.cat([ends, sample]))
        else:
            place = int(torch.randint(self.images + 1, (), generator=random))
            old = self.seen[place % _IMAGES]
            least, largest = torch.minimum(ends, old[:2])[:1], torch.maximum(ends, old[:2])[1:]
            self.seen[place % _IMAGES] = torch.cat([least, largest, sample if place < _IMAGES else old[2:]])
        self.images += 1


class QuantConv2d(nn.Module):
    """A convolution on integer weights, with one scale per output channel or one for all.

    Args:
        conv: the FP32 convolution; its weights and bias are trained on.
        quantizer: name of a file in `qdr/quant/quantizers`.
        bits: width.
        observer: how the scales are calibrated, "minmax" or "mse".
        per_channel: one scale per output channel.
    """

    def __init__(self, conv: nn.Conv2d, quantizer: str, bits: int, observer: str, per_channel: bool = True) -> None:
        super().__init__()
        check_choice("observer of weights", observer, WEIGHT_OBSERVERS)
        self.conv, self.bits, self.observer = conv, bits, observer
        shape = (conv.out_channels, 1, 1, 1) if per_channel else (1, 1, 1, 1)
        self.quantizer = quantizers.weights(quantizer, *integer_range(bits, narrow=True), shape)
        self.mode: Mode = "observe"
        self._source: tuple[ActivationQuantizer, ...] = ()
        self.register_buffer("integers", torch.zeros(conv.weight.shape, dtype=torch.int8), persistent=False)
        self.register_buffer("bias", torch.zeros(conv.out_channels), persistent=False)
        self.register_buffer("scales", torch.ones(conv.out_channels), persistent=False)

    def feed_from(self, quantizer: ActivationQuantizer) -> None:
        """Name the quantizer of the input; kept in a tuple so that its parameters are not registered twice."""
        self._source = (quantizer,)

    def settle(self) -> None:
        """Set the scales from the weights and start to quantize."""
        choose, grid = OBSERVERS[self.observer], (self.quantizer.low, self.quantizer.high)
        with torch.no_grad():
            weight = self.conv.weight.float()
            pieces = weight if self.quantizer.log_scale.numel() > 1 else weight[None]
            self.quantizer.start(torch.stack([choose([piece], *grid) for piece in pieces]))
        self.mode = "quantize"

    def freeze(self) -> None:
        """Write the integer weights, their scales and the snapped bias that `export` mode emits."""
        with torch.no_grad():
            self.integers = self.quantizer.integers(self.conv.weight).to(torch.int8)
            self.bias, self.scales = self.snapped_bias(), self._scales().clone()
        self.mode = "export"

    def snapped_bias(self) -> Tensor:
        """The bias on the accumulator's grid s_x * s_w, [out]; the gradient passes straight through."""
        bias = self.conv.bias
        assert bias is not None
        step = (self._source[0].quantizer.scale(bias) * self._scales()).detach()
        return bias + (torch.round(bias / step) * step - bias).detach()

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "quantize":
            return self._quantized(x)
        weight, bias = self.conv.weight, self.conv.bias
        if self.mode == "export":
            weight, bias = _symbolic_dequantize(self.integers, self.scales), self.bias
        return F.conv2d(x, weight, bias, self.conv.stride, self.conv.padding, self.conv.dilation, self.conv.groups)

    def _quantized(self, x: Tensor) -> Tensor:
        """The convolution on the grids, or of the real numbers behind them where the input is off the integers."""
        conv, source, weight = self.conv, self._source[0].quantizer, self.quantizer(self.conv.weight)
        padding = conv.padding
        if isinstance(padding, str):  # "same" and "valid"
            x, padding = F.pad(x, conv._reversed_padding_repeated_twice), (0, 0)
        geometry = conv.stride, padding, conv.dilation, conv.groups
        if not source.exports:
            with torch.autocast(x.device.type, enabled=False):
                return F.conv2d(x, weight, self.snapped_bias(), *geometry)
        assert conv.bias is not None
        grids = grid(x, lambda: source.scale(x)), grid(weight, lambda: self.quantizer.scale(conv.weight))
        return convolution(x, weight, conv.bias, grids, geometry)

    def _scales(self) -> Tensor:
        return self.quantizer.scale(self.conv.weight).flatten().expand(self.conv.out_channels)


def _symbolic_qdq(x: Tensor, scale: Tensor) -> Tensor:
    zero = torch.zeros((), dtype=torch.int8)
    q = torch.onnx.ops.symbolic("QuantizeLinear", (x, scale, zero), dtype=torch.int8, shape=x.shape, version=19)
    return torch.onnx.ops.symbolic("DequantizeLinear", (q, scale, zero), dtype=x.dtype, shape=x.shape, version=19)


def _symbolic_dequantize(integers: Tensor, scale: Tensor) -> Tensor:
    zeros = torch.zeros(scale.shape, dtype=torch.int8)
    return torch.onnx.ops.symbolic(
        "DequantizeLinear", (integers, scale, zeros), {"axis": 0}, dtype=scale.dtype, shape=integers.shape, version=19
    )
