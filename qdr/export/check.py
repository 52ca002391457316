"""What is in an exported file: a census of its operations, and which of TensorRT's rules it breaks."""

from __future__ import annotations

from collections import Counter

import onnx

from qdr.export.graph import DEQUANTIZE, Graph
from qdr.export.rules import breaches


def census(model: onnx.ModelProto) -> dict[str, int]:
    """Counts: every operation, and convolutions with and without quantized input and weight."""
    graph = Graph(model)
    counts = Counter(node.op_type for node in graph.nodes)
    convolutions = [node for node in graph.nodes if node.op_type == "Conv"]
    quantized = sum(all(graph.maker(name, DEQUANTIZE) for name in node.input[:2]) for node in convolutions)
    return dict(counts) | {"quantized convolutions": quantized, "FP32 convolutions": counts["Conv"] - quantized}


def check_tensorrt(model: onnx.ModelProto) -> list[str]:
    """The rules of `qdr.export.rules` that a file must keep and breaks, with node and remedy; empty if none."""
    return [str(breach) for breach in breaches(model) if breach.rule.kind == "must"]
