"""An ONNX graph by name: which node makes a tensor, which nodes read it, and what a constant holds."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
Array = NDArray[np.generic]
Shapes = dict[str, tuple[int, ...]]


class Graph:
    """A view of `model`; it is read anew by making another one after a change."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self.outputs = {value.name for value in model.graph.output}
        self.values: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)

    @cached_property
    def _makers(self) -> dict[str, onnx.NodeProto]:
        return {name: node for node in self.nodes for name in node.output}

    @cached_property
    def _readers(self) -> dict[str, list[onnx.NodeProto]]:
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        return readers

    def maker(self, tensor: str, *kinds: str) -> onnx.NodeProto | None:
        """The node that makes a tensor, if there is one and its type is among `kinds` (none given: any)."""
        node = self._makers.get(tensor)
        return node if node is not None and (not kinds or node.op_type in kinds) else None

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return self._readers.get(tensor, [])

    def only_reader(self, tensor: str, kind: str) -> onnx.NodeProto | None:
        """The one node that reads a tensor, if there is just one, of that type, and the tensor is not an output."""
        readers = self.readers(tensor)
        return readers[0] if len(readers) == 1 and readers[0].op_type == kind and tensor not in self.outputs else None

    def constant(self, node: onnx.NodeProto, position: int) -> Array | None:
        """The constant an input of a node holds; None if it is absent or computed."""
        return self.values.get(node.input[position]) if position < len(node.input) else None


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether a file has Q/DQ."""
    return any(node.op_type == QUANTIZE for node in model.graph.node)


def image_shape(model: onnx.ModelProto) -> tuple[int, int | None, int | None]:
    """Channels (3 where they are free), height and width (None where they are) of the image that a model takes."""
    _, channels, height, width = (dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
    return channels or 3, height or None, width or None


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    return next((a.i for a in node.attribute if a.name == name), default)


def integers(node: onnx.NodeProto, name: str, default: list[int]) -> list[int]:
    """A list of integers among a node's attributes."""
    return next((list(a.ints) for a in node.attribute if a.name == name), default)


def shapes(model: onnx.ModelProto, height: int, width: int) -> Shapes:
    """The shape of every tensor, constants among them, for an image of that size in and out (3 channels if free)."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, number in zip(dimensions, (1, dimensions[1].dim_value or 3, height, width), strict=True):
            dimension.dim_value = number
    del fixed.graph.value_info[:]
    known = onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True).graph
    stored = {tensor.name: tuple(tensor.dims) for tensor in known.initializer}
    values = (*known.input, *known.output, *known.value_info)
    return stored | {value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in values}
