"""TensorRT's rules for explicit quantization, one by one, each checked on the graph of a file.

TensorRT refuses on the device, late, what ONNX Runtime and OpenVINO accept in silence; and some graphs it accepts but runs
in FP32 or with other values. Those rules are a `must`; a `should` costs a fusion, and with it speed, but nothing else.
Sources, all NVIDIA's:

    API     C++ API reference, nvinfer1::IQuantizeLayer and nvinfer1::IDequantizeLayer
    OPS     TensorRT operator reference, Quantize and Dequantize
    TYPES   TensorRT documentation, "Working with quantized types": INT8; explicit quantization; where to place Q/DQ
    PARSER  ONNX-TensorRT, docs/operators.md: QuantizeLinear and DequantizeLinear

What TensorRT-RTX's parser and builder say to a file that breaks each rule is measured in docs/export.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from qdr.export.graph import DEQUANTIZE, QUANTIZE, Graph, attribute

PAIR = (QUANTIZE, DEQUANTIZE)
Offenders = Iterator[onnx.NodeProto]


@dataclass(frozen=True)
class Rule:
    """A rule: what it demands, how to mend a breach, where it is written, and which nodes break it."""

    name: str
    kind: Literal["must", "should"]
    demand: str
    remedy: str
    source: str
    offenders: Callable[[Graph], Offenders]


@dataclass(frozen=True)
class Breach:
    """A node that breaks a rule."""

    rule: Rule
    node: str

    def __str__(self) -> str:
        return f"{self.node}: {self.rule.name}: {self.rule.demand}; {self.rule.remedy}"


def breaches(model: onnx.ModelProto) -> list[Breach]:
    """Every breach of every rule, in the order of the rules; empty if the file is legal."""
    graph = Graph(model)
    return [Breach(rule, node.name) for rule in RULES for node in rule.offenders(graph)]


def _pairs(graph: Graph) -> Iterator[onnx.NodeProto]:
    return (node for node in graph.nodes if node.op_type in PAIR)


def _computed_scale(graph: Graph) -> Offenders:
    return (node for node in _pairs(graph) if graph.constant(node, 1) is None)


def _bad_scale(graph: Graph) -> Offenders:
    for node in _pairs(graph):
        scale = graph.constant(node, 1)
        values = np.ones(1) if scale is None else scale.astype(np.float64)
        if not ((values > 0) & np.isfinite(values)).all():
            yield node


def _shifted(graph: Graph) -> Offenders:
    for node in _pairs(graph):
        zero = graph.constant(node, 2)
        if len(node.input) > 2 and (zero is None or zero.astype(np.int64).any()):
            yield node


def _not_int8(graph: Graph) -> Offenders:
    """Q: the zero point gives the type, uint8 without one. DQ: the codes give it, if they are stored."""
    for node in _pairs(graph):
        typed = graph.constant(node, 2) if node.op_type == QUANTIZE else graph.constant(node, 0)
        if typed is None and node.op_type == DEQUANTIZE:
            continue  # its Q has been asked
        if typed is not None and typed.dtype == np.int32:
            continue  # a bias: a rule of its own
        if typed is None or typed.dtype != np.int8:
            yield node


def _unequal_sizes(graph: Graph) -> Offenders:
    for node in _pairs(graph):
        scale, zero = graph.constant(node, 1), graph.constant(node, 2)
        if scale is not None and zero is not None and scale.size != zero.size:
            yield node


def _wrong_length(graph: Graph) -> Offenders:
    for node in _pairs(graph):
        codes, scale = graph.constant(node, 0), graph.constant(node, 1)
        if codes is not None and scale is not None and scale.size > 1:
            axis = attribute(node, "axis", 1)
            if not -codes.ndim <= axis < codes.ndim or codes.shape[axis] != scale.size:
                yield node


def _wrong_axis(graph: Graph) -> Offenders:
    for node in _pairs(graph):
        codes, scale = graph.constant(node, 0), graph.constant(node, 1)
        rank = codes.ndim if codes is not None else 4
        if _is_weight(graph, node) and scale is not None and scale.size > 1 and attribute(node, "axis", 1) % rank != 0:
            yield node


def _channelwise_activation(graph: Graph) -> Offenders:
    for node in _pairs(graph):
        scale = graph.constant(node, 1)
        if scale is not None and scale.size > 1 and graph.constant(node, 0) is None and not _is_weight(graph, node):
            yield node


def _quantized_bias(graph: Graph) -> Offenders:
    for node in graph.nodes:
        bias = graph.maker(node.input[2], DEQUANTIZE) if node.op_type == "Conv" and len(node.input) > 2 else None
        if bias is not None:
            yield bias


def _half_quantized(graph: Graph) -> Offenders:
    """In a file that quantizes: a convolution of which not both inputs come from a DQ."""
    if any(True for _ in _pairs(graph)):
        for node in graph.nodes:
            if node.op_type == "Conv" and not all(graph.maker(name, DEQUANTIZE) for name in node.input[:2]):
                yield node


def _two_scales(graph: Graph) -> Offenders:
    for node in graph.nodes:
        source = graph.maker(node.input[0], QUANTIZE) if node.op_type == DEQUANTIZE else None
        if source is not None:
            first, second = graph.constant(source, 1), graph.constant(node, 1)
            if first is not None and second is not None and not np.array_equal(first, second, equal_nan=True):
                yield node


def _quantized_before_add(graph: Graph) -> Offenders:
    """Q between a convolution and the addition of a residual."""
    for node in graph.nodes:
        if node.op_type == QUANTIZE and graph.maker(node.input[0], "Conv"):
            pairs = graph.readers(node.output[0])
            if any(reader.op_type == "Add" for pair in pairs for reader in graph.readers(pair.output[0])):
                yield node


def _float_residual(graph: Graph) -> Offenders:
    """An addition of a convolution's result and something that is not quantized."""
    for node in graph.nodes:
        if node.op_type == "Add":
            for mine, other in (node.input, reversed(node.input)):
                conv = graph.maker(mine, "Conv")
                if conv is not None and graph.maker(conv.input[0], DEQUANTIZE) and not graph.maker(other, DEQUANTIZE):
                    yield node
                    break


def _is_weight(graph: Graph, node: onnx.NodeProto) -> bool:
    return any(reader.op_type == "Conv" and node.output[0] == reader.input[1] for reader in graph.readers(node.output[0]))


RULES = (
    Rule(
        "constant scale",
        "must",
        "a scale is a build-time constant",
        "store it as an initializer",
        "OPS: Quantize, input scale",
        _computed_scale,
    ),
    Rule(
        "positive scale",
        "must",
        "every scale is finite and above zero",
        "parametrize scales as exp(t), or calibrate again",
        "API: IQuantizeLayer, scale coefficients",
        _bad_scale,
    ),
    Rule(
        "zero point 0",
        "must",
        "quantization is symmetric",
        "quantize with zero point 0",
        "API: IQuantizeLayer, zeroPt; PARSER",
        _shifted,
    ),
    Rule(
        "signed int8",
        "must",
        "the integer type is signed INT8",
        "use int8, with an int8 zero point",
        "TYPES: supported data types; PARSER",
        _not_int8,
    ),
    Rule(
        "zero point's size",
        "must",
        "scale and zero point have the same shape",
        "give one zero per scale",
        "OPS: Quantize, shape information",
        _unequal_sizes,
    ),
    Rule(
        "scale's length",
        "must",
        "a one-dimensional scale is as long as the quantized axis",
        "give one scale per channel of that axis",
        "API: IDequantizeLayer, scale",
        _wrong_length,
    ),
    Rule(
        "weight's axis",
        "must",
        "a convolution's weight has its scales along the output channels, axis 0",
        "set axis=0",
        "TYPES: per-channel quantization",
        _wrong_axis,
    ),
    Rule(
        "one activation scale",
        "must",
        "an activation has one scale",
        "quantize activations per tensor",
        "TYPES: Q/DQ placement, per-tensor activations",
        _channelwise_activation,
    ),
    Rule(
        "float bias",
        "must",
        "a bias is in floating point, not INT32 behind a DequantizeLinear",
        "store the bias as FP32",
        "API: IDequantizeLayer, input types; PARSER",
        _quantized_bias,
    ),
    Rule(
        "both inputs quantized",
        "must",
        "data and weight of a convolution both come from a DequantizeLinear, or it runs in floating point",
        "put a Q/DQ pair on its input and integers in its weight",
        "TYPES: Q/DQ placement, inputs of weighted operations",
        _half_quantized,
    ),
    Rule(
        "one scale per pair",
        "must",
        "a DequantizeLinear has the scale of the QuantizeLinear before it, or the value is rescaled and nothing fuses",
        "use the same initializer for both",
        "TYPES: Q/DQ limitations, equal scales",
        _two_scales,
    ),
    Rule(
        "no Q before the sum",
        "should",
        "a convolution's result enters an addition unquantized, so that both fuse",
        "quantize the sum instead",
        "TYPES: Q/DQ placement, outputs of weighted operations",
        _quantized_before_add,
    ),
    Rule(
        "quantized residual",
        "should",
        "what is added to a quantized convolution's result comes from a DequantizeLinear, so that both fuse",
        "put a Q/DQ pair on the skip connection",
        "TYPES: Q/DQ placement, residual input of skip connections",
        _float_residual,
    ),
)
