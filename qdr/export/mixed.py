"""Layers of a Q/DQ file put back into floating point, one by one, by changing the graph.

A layer is a Conv, ConvTranspose, MatMul or Gemm whose weight comes from a DequantizeLinear of stored integers; its name
here is that of these integers. In floating point it reads the tensor before the Q/DQ pair and a real-valued weight.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from qdr.export import numerics
from qdr.export.graph import DEQUANTIZE, QUANTIZE, Graph, Shapes, attribute, image_shape, shapes

KINDS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
Weights = Mapping[str, NDArray[np.float32]]


def layers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes of each quantized layer, by the name of its integers; a layer that runs several times has several."""
    graph = Graph(model)
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.nodes:
        weight = graph.maker(node.input[1], DEQUANTIZE) if node.op_type in KINDS else None
        if weight is not None and weight.input[0] in graph.values and graph.maker(node.input[0], DEQUANTIZE):
            found.setdefault(weight.input[0], []).append(node)
    return found


def macs(model: onnx.ModelProto, side: int) -> dict[str, int]:
    """Multiply-accumulates of each quantized layer for an image of `side` x `side`."""
    counts = products(model, side, side)
    return {name: sum(counts[node.output[0]] for node in nodes) for name, nodes in layers(model).items()}


def products(model: onnx.ModelProto, height: int, width: int) -> dict[str, int]:
    """Multiply-accumulates of every convolution and matrix product, by the tensor it makes, for an image of that size."""
    sizes, counts = shapes(model, height, width), {}
    asked = {name for node in model.graph.node if node.op_type in KINDS for name in (*node.input[:2], *node.output)}
    if any(name not in sizes or 0 in sizes[name] for name in asked):  # sizes that the graph computes by itself
        sizes |= _run_shapes(model, height, width, asked)
    for node in model.graph.node:
        if node.op_type in KINDS:
            data, weight, out = (sizes[name] for name in (node.input[0], node.input[1], node.output[0]))
            work = {"Conv": prod(weight[1:]) * prod(out), "ConvTranspose": prod(weight[1:]) * prod(data)}
            counts[node.output[0]] = work.get(node.op_type, data[-1] * prod(out))
    return counts


def _run_shapes(model: onnx.ModelProto, height: int, width: int, names: Collection[str]) -> Shapes:
    """The shapes of tensors, by running the model once."""
    made = [name for node in model.graph.node for name in node.output if name in names]
    given = {model.graph.input[0].name: np.zeros((1, image_shape(model)[0], height, width), np.float32)}
    found = numerics.exact_session(numerics.watching(model, made).SerializeToString()).run(made, given)
    return {name: value.shape for name, value in zip(made, found, strict=True)}


def in_float(model: onnx.ModelProto, names: Collection[str], weights: Weights, half: bool = False) -> onnx.ModelProto:
    """A copy with the layers of some integers in floating point.

    Args:
        model: a Q/DQ file.
        names: of integers (`layers`).
        weights: real-valued weights by the name of the integers, as the node reads them; where there is none, the
            integers times their scales.
        half: in FP16, between casts, instead of FP32.
    """
    mixed = onnx.ModelProto()
    mixed.CopyFrom(model)
    graph = Graph(mixed)
    found = layers(mixed)
    for name in names:
        for node in found[name]:
            pair = graph.maker(node.input[0], DEQUANTIZE)
            assert pair is not None
            quantize = graph.maker(pair.input[0], QUANTIZE)
            if quantize is not None:
                node.input[0] = quantize.input[0]
            node.input[1] = f"{name}.real"
            if half:
                _halve(mixed, node)
        value = weights[name] if name in weights else _dequantized(graph, name)
        kind = np.float16 if half else np.float32
        mixed.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value, kind), f"{name}.real"))
    drop_unread(mixed)
    return mixed


def _halve(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Let a node compute in FP16: its input, bias and result are cast."""
    place = list(model.graph.node).index(node)
    node = model.graph.node[place]
    (made,) = node.output
    read = [0, 2] if len(node.input) > 2 and node.input[2] else [0]
    before = [helper.make_node("Cast", [node.input[i]], [f"{made}.in16.{i}"], to=TensorProto.FLOAT16) for i in read]
    after = helper.make_node("Cast", [f"{made}.out16"], [made], to=TensorProto.FLOAT)
    for i, cast in zip(read, before, strict=True):
        node.input[i] = cast.output[0]
    node.output[0] = after.input[0]
    model.graph.node.insert(place + 1, after)
    for cast in before:
        model.graph.node.insert(place, cast)


def in_reals(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without any Q/DQ: activations are not rounded, weights are their integers times their scales."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    graph = Graph(plain)
    source: dict[str, str] = {}  # what a DequantizeLinear makes of an activation -> the activation
    kept = []
    for node in graph.nodes:
        if node.op_type == DEQUANTIZE and node.input[0] in graph.values:
            value = np.ascontiguousarray(_reals(graph, node))
            plain.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
            continue
        node.input[:] = [source.get(name, name) for name in node.input]
        quantize = graph.maker(node.input[0], QUANTIZE) if node.op_type == DEQUANTIZE else None
        if quantize is not None and node.output[0] not in graph.outputs:
            source[node.output[0]] = quantize.input[0]
        else:
            given = [node.input[0] if quantize is None else quantize.input[0]]
            kept.append(node if quantize is None else helper.make_node("Identity", given, list(node.output)))
    del plain.graph.node[:], plain.graph.value_info[:]
    plain.graph.node.extend(kept)
    drop_unread(plain)
    return plain


def drop_unread(model: onnx.ModelProto) -> None:
    """Remove nodes and constants that nothing reads any more."""
    wanted = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    constants = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(constants)


def _dequantized(graph: Graph, name: str) -> NDArray[np.float32]:
    (node,) = {reader.name: reader for reader in graph.readers(name)}.values()
    return _reals(graph, node)


def _reals(graph: Graph, node: onnx.NodeProto) -> NDArray[np.float32]:
    """What a DequantizeLinear of stored integers makes."""
    codes, scale = graph.values[node.input[0]], graph.values[node.input[1]].astype(np.float32)
    axis = attribute(node, "axis", 1) % max(1, codes.ndim)
    side = [scale.size if i == axis else 1 for i in range(codes.ndim)] if scale.size > 1 else [1] * codes.ndim
    zero = graph.constant(node, 2)
    shifted = codes.astype(np.float32) - (0 if zero is None or not zero.any() else zero.astype(np.float32).reshape(side))
    return np.asarray(shifted * scale.reshape(side), np.float32)
