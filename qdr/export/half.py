"""A typed FP16 file: weights and activations FLOAT16, input and output FP32 behind Casts.

TensorRT 11 has no flag for FP16 any more: a strongly typed network computes in the types of its file, so an FP16 baseline is
a file of its own. FP16 near 1 is 1/2048 apart, an eighth of a grey level.

Libraries convert too: onnxconverter-common, no longer maintained, and onnxruntime.transformers.float16, made from it. On our
files the latter appends its Casts behind their readers, leaves the old types in the graph's list of values and casts the
scales of up-sampling there and back; these graphs need twenty lines.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdr.errors import QdrError
from qdr.export.file import read_onnx
from qdr.export.graph import DEQUANTIZE, QUANTIZE
from qdr.files import replacing

ALWAYS_FP32 = {"Resize": (1, 2)}  # inputs an operation takes in FP32 only: roi, scales


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """An FP16 copy of an exported FP32 file; [n, 3, h, w] in and out stay FP32.

    Raises:
        QdrError: when the file is quantized (its grids would move), or a weight is beyond the range of FP16.
    """
    if any(node.op_type in (QUANTIZE, DEQUANTIZE) for node in model.graph.node):
        raise QdrError("only an FP32 file has an FP16 form: this one is quantized")
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    del graph.value_info[:]  # the types of before
    kept = {node.input[i] for node in graph.node for i in ALWAYS_FP32.get(node.op_type, ()) if i < len(node.input)}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            tensor.CopyFrom(_halved(tensor))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(_halved(attribute.t))
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    inner = {value.name: f"{value.name}.fp16" for value in (*graph.input, *graph.output)}
    for node in graph.node:
        node.input[:] = [inner.get(name, name) for name in node.input]
        node.output[:] = [inner.get(name, name) for name in node.output]
    before = [_cast(value.name, inner[value.name], TensorProto.FLOAT16) for value in graph.input]
    after = [_cast(inner[value.name], value.name, TensorProto.FLOAT) for value in graph.output]
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(half, full_check=True)
    return half


def write_fp16(source: Path, target: Path) -> None:
    """Write the FP16 form of an exported FP32 file."""
    half = to_fp16(read_onnx(source))
    with replacing(target) as temporary:
        onnx.save(half, temporary)


def _halved(tensor: TensorProto) -> TensorProto:
    value = numpy_helper.to_array(tensor)
    if not (np.abs(value) <= np.finfo(np.float16).max).all():
        raise QdrError(f"{tensor.name} holds {np.abs(value).max():g}: FP16 ends at 65504")
    return numpy_helper.from_array(value.astype(np.float16), tensor.name)


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=kind)
