"""What a model needs to be tiled, read off its ONNX graph: how far it looks, its stride, its memory per pixel.

Followed through the graph, element `i` of a tensor along one axis depends on the input pixels

    [jump * i - before, jump * i + after]

A convolution (kernel k, stride s, padding p, dilation d) makes jump * s, before + jump * p, after + jump * (d (k - 1) - p);
nearest-neighbour up-sampling and pixel shuffle by f make jump / f, before + jump (1 - 1/f). Elementwise operations take the
widest of their inputs. Padded positions count as pixels, so outside `reach` of a tile's border nothing of the tile's own
padding is seen: there a tile gives what the whole image gives. The arithmetic is that of receptive fields (Araujo et al.,
"Computing receptive fields of convolutional neural networks", Distill 2019), with up-sampling.

An operation that mixes all positions (a mean over the image) or that is not known here makes the reach infinite. Transposed
tensors are followed by where their channels are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from qdr.errors import QdrError
from qdr.export.file import read_onnx

Values = Mapping[str, NDArray[Any]]
_ARITHMETIC = {"Abs", "Add", "Div", "Erf", "Exp", "Log", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub"}
_ACTIVATIONS = {"Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Softplus", "Tanh"}
_OTHERS = {"Cast", "Clip", "DequantizeLinear", "Expand", "Floor", "Identity", "QuantizeLinear", "Where"}
_ELEMENTWISE = _ARITHMETIC | _ACTIVATIONS | _OTHERS


@dataclass(frozen=True)
class Footprint:
    """What a model needs.

    Args:
        stride: height and width must be multiples of it.
        reach: pixels an output pixel looks to any side, or None where it sees the whole image.
        bytes_per_pixel: of FP32 activations, as if no buffer were used twice: an upper estimate of an engine's memory.
        quantized: whether the file has Q/DQ.
    """

    stride: int
    reach: int | None
    bytes_per_pixel: float
    quantized: bool


@dataclass(frozen=True)
class _Field:
    jump: Fraction
    before: float | Fraction
    after: float | Fraction
    channel: int = 1  # the axis of the channels


def _whole(x: _Field) -> _Field:
    return replace(x, before=math.inf, after=math.inf)


def footprint(path: Path) -> Footprint:
    """Read the footprint of an exported file.

    Raises:
        QdrError: when the file is missing, no ONNX file or no restoration model.
    """
    model = read_onnx(path)
    try:
        onnx.checker.check_model(model)
        return _follow(model.graph)
    except (onnx.checker.ValidationError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise QdrError(f"{path} is not a restoration model ({reason}): name a file that `qdr export` wrote") from error


def _follow(graph: onnx.GraphProto) -> Footprint:
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise ValueError("one image in and one image out are needed")
    image = graph.input[0].type.tensor_type
    if image.elem_type != onnx.TensorProto.FLOAT:
        raise ValueError("it must take a float tensor")
    values: dict[str, NDArray[Any]] = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    fields = {graph.input[0].name: _Field(Fraction(1), Fraction(0), Fraction(0))}
    stride, memory = Fraction(1), 0.0
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        given = [fields[name] for name in node.input if name in fields]
        if not given:  # a constant: a dequantized weight
            _remember(node, attributes, values)
            continue
        made = _step(node, attributes, _widest(given), values)
        fields |= dict.fromkeys(node.output, made)
        stride = max(stride, made.jump)
        if node.op_type in ("Conv", "ConvTranspose") and node.input[1] in values:
            memory += 4 * _channels(node, attributes, values) / float(made.jump) ** 2
    last = fields[graph.output[0].name]
    far = max(last.before, last.after)
    quantized = any(node.op_type == "QuantizeLinear" for node in graph.node)
    return Footprint(math.ceil(stride), None if math.isinf(far) else math.ceil(far), memory, quantized)


def _widest(fields: list[_Field]) -> _Field:
    channel = fields[0].channel
    x = _Field(max(f.jump for f in fields), max(f.before for f in fields), max(f.after for f in fields), channel)
    return x if all(f.channel == channel for f in fields) else _whole(x)


def _step(node: onnx.NodeProto, attributes: dict[str, Any], x: _Field, values: Values) -> _Field:
    if node.op_type in _ELEMENTWISE:
        return x
    rule = _RULES.get(node.op_type) if x.channel == 1 or node.op_type == "Transpose" else None
    return (rule(node, attributes, x, values) if rule else None) or _whole(x)


def _convolution(node: onnx.NodeProto, attributes: dict[str, Any], x: _Field, values: Values) -> _Field | None:
    kernel = attributes.get("kernel_shape") or list(values[node.input[1]].shape[2:])
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    pads = attributes.get("pads", [0, 0, 0, 0])
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or strides[0] != strides[1]:
        return None
    before = max(pads[:2])
    after = max(d * (k - 1) - p for d, k, p in zip(dilations, kernel, pads[:2], strict=True))
    return _Field(x.jump * strides[0], x.before + x.jump * before, x.after + x.jump * after)


def _transposed(node: onnx.NodeProto, attributes: dict[str, Any], x: _Field, values: Values) -> _Field | None:
    kernel = attributes.get("kernel_shape") or list(values[node.input[1]].shape[2:])
    strides, pads = attributes.get("strides", [1, 1]), attributes.get("pads", [0, 0, 0, 0])
    if strides[0] != strides[1] or attributes.get("dilations", [1, 1]) != [1, 1] or "output_shape" in attributes:
        return None
    jump = x.jump / strides[0]
    before = max(k - 1 - p for k, p in zip(kernel, pads[:2], strict=True))
    return _Field(jump, x.before + jump * before, x.after + jump * max(pads[:2]))


def _resize(node: onnx.NodeProto, attributes: dict[str, Any], x: _Field, values: Values) -> _Field | None:
    scales = values.get(node.input[2]) if len(node.input) > 2 else None
    if scales is None or scales.shape != (4,) or scales[2] != scales[3]:
        return None
    jump = x.jump / Fraction(float(scales[2])).limit_denominator(64)
    around = {b"nearest": 0, b"linear": 1, b"cubic": 2}[attributes.get("mode", b"nearest")]
    plain = around == 0 and attributes.get("coordinate_transformation_mode") == b"asymmetric"
    side = 0 if plain and attributes.get("nearest_mode") == b"floor" else x.jump * max(around, 1)
    return _Field(jump, x.before + abs(x.jump - jump) + side, x.after + side)


def _to_space(node: onnx.NodeProto, attributes: dict[str, Any], x: _Field, values: Values) -> _Field:
    jump = x.jump / attributes["blocksize"]
    return _Field(jump, x.before + x.jump - jump, x.after)


def _to_depth(node: onnx.NodeProto, attributes: dict[str, Any], x: _Field, values: Values) -> _Field:
    return _Field(x.jump * attributes["blocksize"], x.before, x.after + x.jump * (attributes["blocksize"] - 1))


def _mean(node: onnx.NodeProto, attributes: dict[str, Any], x: _Field, values: Values) -> _Field | None:
    axes = values.get(node.input[1]) if len(node.input) > 1 else attributes.get("axes")
    return x if axes is not None and [int(axis) for axis in axes] == [1] else None


def _across_channels(node: onnx.NodeProto, attributes: dict[str, Any], x: _Field, values: Values) -> _Field | None:
    return x if attributes.get("axis") == 1 else None


def _picked(node: onnx.NodeProto, attributes: dict[str, Any], x: _Field, values: Values) -> _Field | None:
    return x if attributes.get("axis", 0) in (0, 1) else None


def _transposed_axes(node: onnx.NodeProto, attributes: dict[str, Any], x: _Field, values: Values) -> _Field | None:
    order = list(attributes.get("perm", ()))
    return replace(x, channel=order.index(x.channel)) if len(order) == 4 and order[0] == 0 else None


_RULES: dict[str, Callable[[onnx.NodeProto, dict[str, Any], _Field, Values], _Field | None]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "MaxPool": _convolution,
    "AveragePool": _convolution,
    "Resize": _resize,
    "DepthToSpace": _to_space,
    "SpaceToDepth": _to_depth,
    "ReduceMean": _mean,
    "ReduceMax": _mean,
    "Gather": _picked,
    "Transpose": _transposed_axes,
    **dict.fromkeys(("Concat", "Softmax", "Split"), _across_channels),
}


def _remember(node: onnx.NodeProto, attributes: dict[str, Any], values: dict[str, NDArray[Any]]) -> None:
    """Constants by name; of a dequantized weight only the shape matters."""
    if node.op_type == "DequantizeLinear" and node.input[0] in values:
        values[node.output[0]] = values[node.input[0]]
    elif node.op_type == "Constant" and "value" in attributes:
        values[node.output[0]] = np.asarray(numpy_helper.to_array(attributes["value"]))


def _channels(node: onnx.NodeProto, attributes: dict[str, Any], values: Values) -> int:
    shape = values[node.input[1]].shape
    return int(shape[0] if node.op_type == "Conv" else shape[1] * attributes.get("group", 1))
