"""Census: which layers an engine really runs, and in which precision, told by the engine itself.

What a file asks for and what an engine does are two things: an engine may keep a quantized convolution in FP32, in
silence, and be right but slow. A `Layer` is one operation of the engine's own graph after fusion; its precision is that
of the tensors it reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import onnx

PRECISIONS = {  # engines' names of a tensor type -> ours
    **dict.fromkeys(("i8", "u8", "Int8", "INT8", "FP8"), "int8"),
    **dict.fromkeys(("f32", "FP32", "Float"), "fp32"),
    **dict.fromkeys(("bf16", "BF16", "BFloat16"), "bf16"),
    **dict.fromkeys(("f16", "FP16", "Half"), "fp16"),
}
_ONNX = {1: "fp32", 2: "int8", 3: "int8", 10: "fp16", 16: "bf16"}  # TensorProto.DataType
_TYPED_BY = {"QuantizeLinear": 2, "QLinearConv": 7, "QLinearAdd": 7, "QLinearMul": 7, "QLinearSigmoid": 4}
_FP32_RESULT = ("DequantizeLinear", "MatMulIntegerToFloat")


@dataclass(frozen=True)
class Layer:
    """One operation of an engine: its name, its kind in the engine's words, what it computes in."""

    name: str
    kind: str
    precision: str

    @property
    def convolves(self) -> bool:
        """Whether it is a convolution, under whichever name."""
        return "conv" in self.kind.lower().replace("convert", "") or self.kind.startswith("MatMulInteger")


def of_openvino(operations: Iterable[Any]) -> list[Layer]:
    """Layers of the runtime model that a compiled OpenVINO model gives; what is only there to be read is left out."""
    layers = []
    for operation in operations:
        about = operation.get_rt_info()
        kind, precision = str(about["layerType"].value), str(about["runtimePrecision"].value)
        if kind not in ("Const", "Input", "Output", "Reshape"):  # a reshape moves nothing
            layers.append(Layer(operation.get_friendly_name(), kind, PRECISIONS.get(precision, precision)))
    return layers


def of_onnxruntime(optimized: onnx.ModelProto) -> list[Layer]:
    """Layers of the graph ONNX Runtime made of a file; the type of what it reads follows from node to node."""
    types = {value.name: value.type.tensor_type.elem_type for value in optimized.graph.input}
    types |= {tensor.name: tensor.data_type for tensor in optimized.graph.initializer}
    layers = []
    for node in optimized.graph.node:
        reads = types.get(node.input[0], 0) if node.input else 0
        made = types.get(node.input[_TYPED_BY[node.op_type]], reads) if node.op_type in _TYPED_BY else reads
        made = 1 if node.op_type in _FP32_RESULT else made
        types |= dict.fromkeys(node.output, made)
        layers.append(Layer(node.name, node.op_type, _ONNX.get(reads, f"type {reads}")))
    return layers


def of_tensorrt(information: str) -> list[Layer]:
    """Layers of an engine inspector's JSON (`LayerInformationFormat.JSON`, profiling verbosity DETAILED)."""
    layers = []
    for entry in json.loads(information)["Layers"]:
        if not isinstance(entry, dict):  # only names: the engine was built without details
            layers.append(Layer(str(entry), "unknown", "unknown"))
            continue
        read = [str(tensor.get("Format/Datatype", "")) for tensor in entry.get("Inputs", [])]
        found = [ours for name, ours in PRECISIONS.items() if read and name in read[0]]
        layers.append(Layer(str(entry.get("Name", "")), str(entry.get("LayerType", "unknown")), [*found, "unknown"][0]))
    return layers
