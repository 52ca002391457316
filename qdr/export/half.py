"""The typed FP16 baseline: every float tensor of an FP32 file becomes FP16, input and output included.

TensorRT 11 has no FP16 flag any more: the types in the file are the precision. Values beyond FP16's range are clipped.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

LARGEST = float(np.finfo(np.float16).max)


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an FP32 model in FP16. Shapes and scales of `Resize` stay FP32, as ONNX demands."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    kept = {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:]}
    for tensor in graph.initializer:
        if tensor.name not in kept:
            _convert(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t") and not kept & set(node.output):
                _convert(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name not in kept:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.checker.check_model(half, full_check=True)
    return half


def _convert(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        values = np.clip(numpy_helper.to_array(tensor), -LARGEST, LARGEST).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
