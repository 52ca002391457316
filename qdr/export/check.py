"""What is in an exported file: a census of its operations, and TensorRT's rules for explicit quantization.

TensorRT refuses what ONNX Runtime and OpenVINO accept in silence, and refuses it on the device, late. Each rule below is
checked on the file itself and names the node that breaks it (TensorRT developer guide, "Working with quantized types").
`parse_with_tensorrt_rtx` asks the real parser, where the optional extra is installed; it needs no GPU.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from qdr.errors import QdrError

Values = dict[str, NDArray[np.generic]]


def census(model: onnx.ModelProto) -> dict[str, int]:
    """Counts: every operation, and convolutions with and without quantized input and weight."""
    producers = {name: node for node in model.graph.node for name in node.output}
    counts = Counter(node.op_type for node in model.graph.node)
    quantized = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            sources = [producers.get(name) for name in node.input[:2]]
            quantized += all(source is not None and source.op_type == "DequantizeLinear" for source in sources)
    return dict(counts) | {"quantized convolutions": quantized, "FP32 convolutions": counts["Conv"] - quantized}


def check_tensorrt(model: onnx.ModelProto) -> list[str]:
    """The rules a file breaks, one line each, empty if none."""
    values: Values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    producers = {name: node for node in model.graph.node for name in node.output}
    broken: list[str] = []
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            broken += _check_quantization(node, values)
        elif node.op_type == "Conv" and len(node.input) > 2:
            bias = producers.get(node.input[2])
            if bias is not None and bias.op_type == "DequantizeLinear":
                broken.append(f"{node.name}: the bias must be FP32, not dequantized")
    return broken


def _check_quantization(node: onnx.NodeProto, values: Values) -> list[str]:
    scale = values.get(node.input[1])
    zero = values.get(node.input[2]) if len(node.input) > 2 else np.zeros(1, np.int8)
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    broken = []
    if scale is None or zero is None:
        return [f"{node.name}: scale and zero point must be constants"]
    if not bool((scale.astype(np.float64) > 0).all()):
        broken.append(f"{node.name}: scales must be positive, the smallest is {scale.min()}")
    if zero.dtype != np.int8:
        broken.append(f"{node.name}: the integer type must be signed int8, not {zero.dtype}")
    elif zero.any():
        broken.append(f"{node.name}: zero points must be 0")
    if node.op_type == "QuantizeLinear" and node.input[0] in values:
        broken.append(f"{node.name}: constants must be stored as integers, not quantized at run time")
    if node.op_type == "QuantizeLinear" and scale.size > 1:
        broken.append(f"{node.name}: activations must have one scale")
    if scale.size > 1 and axis != 0:
        broken.append(f"{node.name}: a convolution's weight must be quantized along axis 0, not {axis}")
    return broken


def parse_with_tensorrt_rtx(path: Path) -> list[str]:
    """What TensorRT-RTX's own ONNX parser says against a file, empty if it accepts it.

    Raises:
        QdrError: when the extra `trt-check` is not installed.
    """
    try:
        import tensorrt_rtx as trt
    except ImportError as error:
        raise QdrError("the parser is an extra: pip install -c constraints.txt -e '.[trt-check]'") from error
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    if parser.parse(path.read_bytes()):
        return []
    return [str(parser.get_error(i)) for i in range(parser.num_errors)]
