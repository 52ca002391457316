"""For each rule of `qdr.export.rules`, a change to a legal file that breaks that rule and no other.

A change edits the model in place and returns the name of the node that now offends.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qdr.export.graph import Graph
from qdr.export.qdq import Exporter
from tests.networks import quantized, small_efm


def legal_file(path: Path) -> onnx.ModelProto:
    """A quantized EFM, exported."""
    model = quantized(small_efm())
    Exporter().write(model, path, "efm", 4)
    return onnx.load(path)


def node_of(model: onnx.ModelProto, kind: str, count: int = 0) -> onnx.NodeProto:
    return [node for node in model.graph.node if node.op_type == kind][count]


def constant(model: onnx.ModelProto, name: str, value: object) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def block(model: onnx.ModelProto) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """The second convolution of the first residual block, and the addition behind it."""
    graph = Graph(model)
    for node in graph.nodes:
        add = graph.only_reader(node.output[0], "Add") if node.op_type == "Conv" else None
        if add is not None:
            return node, add
    raise AssertionError("no residual block")


def replace_pair(model: onnx.ModelProto, position: int, name: str) -> str:
    """Give the second activation's Q and all its DQs another input; returns the name of the Q."""
    q = node_of(model, "QuantizeLinear", 1)
    del model.graph.value_info[:]  # the types of before
    for node in (q, *Graph(model).readers(q.output[0])):
        node.input[position] = name
    return q.name


def scale(value: float) -> Callable[[onnx.ModelProto], str]:
    return lambda model: replace_pair(model, 1, constant(model, "bad", np.float32(value)))


def zero_point(value: object) -> Callable[[onnx.ModelProto], str]:
    return lambda model: replace_pair(model, 2, constant(model, "bad", value))


def computed_scale(model: onnx.ModelProto) -> str:
    model.graph.node.insert(0, helper.make_node("ReduceMax", ["image"], ["bad"], name="largest", keepdims=0))
    q = node_of(model, "QuantizeLinear", 1)
    q.input[1] = "bad"
    return q.name


def weight(model: onnx.ModelProto) -> onnx.NodeProto:
    """The DQ of a square weight, with zero points of its own."""
    graph = Graph(model)
    maker = graph.maker(block(model)[0].input[1], "DequantizeLinear")
    assert maker is not None
    maker.input[2] = constant(model, "own_zeros", np.zeros(graph.values[maker.input[0]].shape[0], np.int8))
    return maker


def one_zero_for_all(model: onnx.ModelProto) -> str:
    node = weight(model)
    node.input[2] = constant(model, "bad", np.zeros(1, np.int8))
    return node.name


def one_scale_too_few(model: onnx.ModelProto) -> str:
    node = weight(model)
    scales = Graph(model).values[node.input[1]]
    node.input[1] = constant(model, "bad", scales[:-1])
    node.input[2] = constant(model, "bad_zeros", np.zeros(scales.size - 1, np.int8))
    return node.name


def input_channels(model: onnx.ModelProto) -> str:
    node = weight(model)
    next(a for a in node.attribute if a.name == "axis").i = 1
    return node.name


def channelwise(model: onnx.ModelProto) -> str:
    q = node_of(model, "QuantizeLinear", 1)
    value = float(Graph(model).values[q.input[1]])
    scales, zeros = constant(model, "bad", np.full(16, value, np.float32)), constant(model, "zeros16", np.zeros(16, np.int8))
    for node in (q, *Graph(model).readers(q.output[0])):
        node.input[1], node.input[2] = scales, zeros
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("axis", 1))
    return q.name


def integer_bias(model: onnx.ModelProto) -> str:
    conv, _ = block(model)
    codes = constant(model, "bad", np.zeros(16, np.int32))
    scales = constant(model, "bias_scales", np.full(16, 1e-4, np.float32))
    dequantize = helper.make_node("DequantizeLinear", [codes, scales], ["bias"], name="dequantize_bias", axis=0)
    model.graph.node.insert(0, dequantize)
    conv.input[2] = "bias"
    return "dequantize_bias"


def float_input(model: onnx.ModelProto) -> str:
    conv, _ = block(model)
    graph = Graph(model)
    dq = graph.maker(conv.input[0])
    q = graph.maker(dq.input[0]) if dq is not None else None
    assert q is not None
    conv.input[0] = q.input[0]
    return conv.name


def float_weight(model: onnx.ModelProto) -> str:
    conv, _ = block(model)
    conv.input[1] = constant(model, "bad", np.zeros((16, 16, 3, 3), np.float32))
    return conv.name


def other_scale(model: onnx.ModelProto) -> str:
    dq = Graph(model).readers(node_of(model, "QuantizeLinear", 1).output[0])[0]
    dq.input[1] = constant(model, "bad", np.float32(2) * Graph(model).values[dq.input[1]])
    return dq.name


def quantized_branch(model: onnx.ModelProto) -> str:
    conv, add = block(model)
    step, zero = constant(model, "bad", np.float32(0.05)), constant(model, "no_shift", np.int8(0))
    at = list(model.graph.node).index(add)
    model.graph.node.insert(at, helper.make_node("DequantizeLinear", ["bad_q", step, zero], ["bad_dq"], name="bad_dq"))
    inserted = helper.make_node("QuantizeLinear", [conv.output[0], step, zero], ["bad_q"], name="bad_q")
    model.graph.node.insert(at, inserted)
    add.input[list(add.input).index(conv.output[0])] = "bad_dq"
    return "bad_q"


def float_skip(model: onnx.ModelProto) -> str:
    conv, add = block(model)
    graph, at = Graph(model), 1 - list(add.input).index(conv.output[0])
    dq = graph.maker(add.input[at])
    q = graph.maker(dq.input[0]) if dq is not None else None
    assert q is not None
    add.input[at] = q.input[0]
    return add.name


CHANGES: list[tuple[str, str, Callable[[onnx.ModelProto], str]]] = [
    ("constant scale", "scale computed from the image", computed_scale),
    ("positive scale", "scale 0", scale(0)),
    ("positive scale", "scale -1", scale(-1)),
    ("positive scale", "scale not a number", scale(float("nan"))),
    ("positive scale", "infinite scale", scale(float("inf"))),
    ("zero point 0", "zero point 3", zero_point(np.int8(3))),
    ("signed int8", "uint8 activation", zero_point(np.uint8(0))),
    ("zero point's size", "one zero point for all channels", one_zero_for_all),
    ("scale's length", "one scale too few", one_scale_too_few),
    ("weight's axis", "weight quantized along axis 1", input_channels),
    ("one activation scale", "activation with a scale per channel", channelwise),
    ("float bias", "INT32 bias behind a DequantizeLinear", integer_bias),
    ("both inputs quantized", "convolution with an FP32 input", float_input),
    ("both inputs quantized", "convolution with an FP32 weight", float_weight),
    ("one scale per pair", "DequantizeLinear with twice the scale", other_scale),
    ("no Q before the sum", "Q/DQ between convolution and addition", quantized_branch),
    ("quantized residual", "skip connection in FP32", float_skip),
]
