"""The quantized layers: a tensor on the grid, and a convolution whose weights and bias are.

A transposed convolution is one with its output channels along axis 1 of the weight; a linear layer is a convolution of
single pixels. Padding by other values than zeros (reflect, replicate, circular) is done on the input, before the product.

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

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.errors import QdrError, check_choice
from qdr.quant import quantizers
from qdr.quant.affine import integer_range
from qdr.quant.integer import Geometry, convolution, grid
from qdr.quant.observers import OBSERVERS, WEIGHT_OBSERVERS

Mode = Literal["float", "observe", "quantize", "export"]
_PIXEL: Geometry = ((1, 1), (0, 0), (1, 1), False, (0, 0), 1)
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

    def finish_calibration(self) -> None:
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
            self.seen.append(torch.cat([ends, sample]).cpu())
        else:
            place = int(torch.randint(self.images + 1, (), generator=random))
            old, ends, sample = self.seen[place % _IMAGES], ends.cpu(), sample.cpu()
            least, largest = torch.minimum(ends, old[:2])[:1], torch.maximum(ends, old[:2])[1:]
            self.seen[place % _IMAGES] = torch.cat([least, largest, sample if place < _IMAGES else old[2:]])
        self.images += 1


class QuantConv2d(nn.Module):
    """A convolution on integer weights, with one scale per output channel or one for all.

    Args:
        conv: the FP32 layer; its weight and bias (there may be none) are trained on.
        quantizer: name of a file in `qdr/quant/quantizers`.
        bits: width.
        observer: how the scales are calibrated, "minmax" or "mse".
        per_channel: one scale per output channel.
    """

    conv: nn.Module
    axis = 0  # of the output channels in the weight

    def __init__(self, conv: nn.Module, quantizer: str, bits: int, observer: str, per_channel: bool = True) -> None:
        super().__init__()
        check_choice("observer of weights", observer, WEIGHT_OBSERVERS)
        self.conv, self.bits, self.observer = conv, bits, observer
        weight, bias = self.weight, self.real_bias
        channels = weight.shape[self.axis]
        shape = [channels if per_channel and axis == self.axis else 1 for axis in range(weight.dim())]
        self.quantizer = quantizers.weights(quantizer, *integer_range(bits, narrow=True), tuple(shape)).to(weight.device)
        self.mode: Mode = "observe"
        self._source: tuple[ActivationQuantizer, ...] = ()
        empty = None if bias is None else torch.zeros_like(bias, requires_grad=False)
        stored = torch.zeros(self._stored(weight).shape, dtype=torch.int8, device=weight.device)
        self.register_buffer("integers", stored, persistent=False)
        self.register_buffer("bias", empty, persistent=False)
        self.register_buffer("scales", torch.ones(channels, device=weight.device), persistent=False)

    @property
    def weight(self) -> Tensor:
        """The real-valued weight."""
        return self.conv.weight  # type: ignore[return-value]

    @property
    def real_bias(self) -> Tensor | None:
        """The real-valued bias, [out], or None."""
        return self.conv.bias  # type: ignore[return-value]

    def feed_from(self, quantizer: ActivationQuantizer) -> None:
        """Name the quantizer of the input; kept in a tuple so that its parameters are not registered twice."""
        self._source = (quantizer,)

    @property
    def source(self) -> ActivationQuantizer | None:
        """The quantizer of the input, once it is known."""
        return self._source[0] if self._source else None

    def finish_calibration(self) -> None:
        """Set the scales from the weights and start to quantize."""
        with torch.no_grad():
            weight = self.weight.float().cpu().movedim(self.axis, 0)
            rows = weight.flatten(1) if self.quantizer.log_scale.numel() > 1 else weight.reshape(1, -1)
            self.quantizer.start(WEIGHT_OBSERVERS[self.observer](rows, self.quantizer.low, self.quantizer.high))
        self.mode = "quantize"

    def freeze(self) -> None:
        """Write the integer weights, their scales and the snapped bias that `export` mode emits."""
        with torch.no_grad():
            self.integers = self._stored(self.quantizer.integers(self.weight).to(torch.int8))
            self.bias, self.scales = self.snapped_bias(), self._scales().clone()
        self.mode = "export"

    def snapped_bias(self) -> Tensor | None:
        """The bias on the accumulator's grid s_x * s_w, [out]; the gradient passes straight through."""
        bias = self.real_bias
        if bias is None:
            return None
        step = (self._source[0].quantizer.scale(bias) * self.quantizer.scale(self.weight).flatten()).detach()
        return bias + (torch.round(bias / step) * step - bias).detach()

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "quantize":
            return self._quantized(x)
        if self.mode == "export":
            return self._exported(x)
        return self._product(x, self.weight, self.real_bias)

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's own arithmetic in real numbers."""
        conv: Any = self.conv
        x, padding = self._padded(x)
        return F.conv2d(x, weight, bias, conv.stride, padding, conv.dilation, conv.groups)

    def _exported(self, x: Tensor) -> Tensor:
        weight = _symbolic_dequantize(self.integers, self.scales, self.axis)
        return self._product(x, weight, self.bias)

    def _quantized(self, x: Tensor) -> Tensor:
        """The product on the grids, or of the real numbers behind them where the input is off the integers."""
        source, weight = self._source[0].quantizer, self.quantizer(self.weight)
        if not source.exports:
            with torch.autocast(x.device.type, enabled=False):
                return self._product(x, weight, self.snapped_bias())
        x, geometry = self._geometry(x)
        grids = grid(x, lambda: source.scale(x)), grid(weight, lambda: self.quantizer.scale(self.weight))
        return convolution(x, weight, self.real_bias, grids, geometry)

    def _geometry(self, x: Tensor) -> tuple[Tensor, Geometry]:
        conv: Any = self.conv
        x, padding = self._padded(x)
        if isinstance(padding, str):  # "same" and "valid"
            x, padding = F.pad(x, conv._reversed_padding_repeated_twice), (0, 0)
        return x, (conv.stride, padding, conv.dilation, False, (0, 0), conv.groups)

    def _padded(self, x: Tensor) -> tuple[Tensor, Any]:
        """The input, padded by other values than zeros if the convolution says so, and how it pads by zeros."""
        conv: Any = self.conv
        if conv.padding_mode == "zeros":
            return x, conv.padding
        return F.pad(x, conv._reversed_padding_repeated_twice, conv.padding_mode), (0, 0)

    def _scales(self) -> Tensor:
        return self.quantizer.scale(self.weight).flatten().expand(self.weight.shape[self.axis])

    def _stored(self, integers: Tensor) -> Tensor:
        """Weights as an exported file holds them."""
        return integers


class QuantConvTranspose2d(QuantConv2d):
    """A transposed convolution, weight [in, out / groups, kh, kw]; in groups it has one scale for all channels."""

    axis = 1

    def __init__(self, conv: nn.ConvTranspose2d, quantizer: str, bits: int, observer: str, per_channel: bool = True) -> None:
        super().__init__(conv, quantizer, bits, observer, per_channel and conv.groups == 1)

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        conv: Any = self.conv
        given = conv.stride, conv.padding, conv.output_padding, conv.groups, conv.dilation
        return F.conv_transpose2d(x, weight, bias, *given)

    def _geometry(self, x: Tensor) -> tuple[Tensor, Geometry]:
        conv: Any = self.conv
        return x, (conv.stride, conv.padding, conv.dilation, True, conv.output_padding, conv.groups)


class QuantLinear(QuantConv2d):
    """A linear layer, [..., in] -> [..., out]; its file holds the weight as [in, out], as MatMul reads it."""

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    def _exported(self, x: Tensor) -> Tensor:
        y = x @ _symbolic_dequantize(self.integers, self.scales, 1)
        return y if self.bias is None else y + self.bias

    def _quantized(self, x: Tensor) -> Tensor:
        source, weight = self._source[0].quantizer, self.quantizer(self.weight)
        if not source.exports:
            with torch.autocast(x.device.type, enabled=False):
                return self._product(x, weight, self.snapped_bias())
        codes, step = grid(x, lambda: source.scale(x))
        weight_codes, weight_step = grid(weight, lambda: self.quantizer.scale(self.weight))
        grids = (_pixels(codes), step), (weight_codes[..., None, None], weight_step)
        y = convolution(_pixels(x), weight[..., None, None], self.real_bias, grids, _PIXEL)
        return y.reshape(*x.shape[:-1], len(weight))

    def _stored(self, integers: Tensor) -> Tensor:
        return integers.t().contiguous()


def _pixels(x: Tensor) -> Tensor:
    """Vectors [..., in] as images of one pixel, [n, in, 1, 1]."""
    return x.reshape(-1, x.shape[-1], 1, 1)


def _symbolic_qdq(x: Tensor, scale: Tensor) -> Tensor:
    zero = torch.zeros((), dtype=torch.int8)
    q = torch.onnx.ops.symbolic("QuantizeLinear", (x, scale, zero), dtype=torch.int8, shape=x.shape, version=19)
    return torch.onnx.ops.symbolic("DequantizeLinear", (q, scale, zero), dtype=x.dtype, shape=x.shape, version=19)


def _symbolic_dequantize(integers: Tensor, scale: Tensor, axis: int) -> Tensor:
    zeros = torch.zeros(scale.shape, dtype=torch.int8)
    return torch.onnx.ops.symbolic(
        "DequantizeLinear", (integers, scale, zeros), {"axis": axis}, dtype=scale.dtype, shape=integers.shape, version=19
    )
