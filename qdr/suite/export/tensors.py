"""Which tensors of the INT8 model are integers, with how many bits and which scales, read off the exported Q/DQ file.

The file of QDR at W8A8 on the benchmark's task is the one that is timed; every task has the same graph with other scales.
A row is a tensor behind a DequantizeLinear:

    weights       stored integers; `inputs` is the quantized tensor that their operator reads beside them
    activations   `operator` are the operators between the quantized tensors it is computed from (`inputs`) and its own
                  QuantizeLinear, in the order of the file; what they pass on between them is never rounded

The image and what the network adds to it are not quantized, so `inputs` of the first tensor is the image.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from qdr.errors import QdrError
from qdr.export.file import read_onnx
from qdr.export.graph import DEQUANTIZE, QUANTIZE, Graph, Shapes, shapes
from qdr.rows import write_rows
from qdr.suite import paths
from qdr.suite.config import Config

METHOD, BITS = "qdr", "W8A8"
WEIGHTS, ACTIVATIONS = "weights", "activations"


def write_graph(config: Config) -> None:
    """Write results/<profile>/graph.csv.

    Raises:
        QdrError: when the engine is missing or no Q/DQ file.
    """
    path = paths.engines(config.bench.task) / f"{METHOD}-{BITS}-all-s0.onnx"
    if not path.is_file():
        raise QdrError(f"{path} does not exist: run `dvc repro export`")
    about = {"task": config.bench.task, "method": METHOD, "bits": BITS}
    write_rows(paths.results(config.profile) / "graph.csv", [about | row for row in tensors(path, config.bench.side)])


def tensors(path: Path, side: int) -> list[dict[str, Any]]:
    """A row per quantized tensor of an ONNX file, in its order; shapes are those of a square image of `side` pixels."""
    model = read_onnx(path)
    graph, known = Graph(model), shapes(model, side, side)
    nodes = [node for node in graph.nodes if node.op_type == DEQUANTIZE]
    if not nodes:
        raise QdrError(f"{path} has no {DEQUANTIZE}: not a Q/DQ file; `qdr export` writes one per quantized model")
    rows = (_weights(graph, node) if node.input[0] in graph.values else _activations(graph, node) for node in nodes)
    return [
        {"position": place, **row, **_scales(graph, node), "shape": _shape(known, node.output[0])}
        for place, (node, row) in enumerate(zip(nodes, rows, strict=True))
    ]


def _weights(graph: Graph, node: onnx.NodeProto) -> dict[str, Any]:
    reader = graph.readers(node.output[0])[0]
    others = [_above(graph, name)[0] for name in reader.input if name != node.output[0] and name not in graph.values]
    return {
        "tensor": node.input[0].rpartition(".")[0],
        "kind": WEIGHTS,
        "operator": reader.op_type,
        "inputs": _joined(name for names in others for name in names),
    }


def _activations(graph: Graph, node: onnx.NodeProto) -> dict[str, Any]:
    quantize = graph.maker(node.input[0], QUANTIZE)
    if quantize is None:
        raise QdrError(f"{node.name}: a {DEQUANTIZE} of neither a constant nor a {QUANTIZE}")
    inputs, between = _above(graph, quantize.input[0])
    operators = [made.op_type for made in graph.nodes if made.output[0] in between]
    return {"tensor": _name(node), "kind": ACTIVATIONS, "operator": _joined(operators), "inputs": _joined(inputs)}


def _above(graph: Graph, tensor: str) -> tuple[list[str], set[str]]:
    """The quantized activations (or the image) that a tensor is computed from, and the float tensors on the way."""
    inputs: list[str] = []
    between: set[str] = set()
    waiting = [tensor]
    while waiting:
        name = waiting.pop()
        node = graph.maker(name)
        if node is None:
            inputs += [] if name in graph.values or not name else [name]
        elif node.op_type != DEQUANTIZE:
            if name not in between:
                waiting += reversed(node.input)
            between.add(name)
        elif node.input[0] not in graph.values:
            inputs.append(_name(node))
    return inputs, between


def _name(node: onnx.NodeProto) -> str:
    """What the module calls a quantized activation, from the name of its scale."""
    return node.input[1].rpartition(".")[0] or node.input[1]


def _scales(graph: Graph, node: onnx.NodeProto) -> dict[str, Any]:
    scale, zero = graph.constant(node, 1), graph.constant(node, 2)
    if scale is None or zero is None:
        raise QdrError(f"{node.name}: scale and zero point must be constants")
    values = np.atleast_1d(scale).astype(np.float64)
    ends = {"scale_min": values.min(), "scale_median": np.median(values), "scale_max": values.max()}
    return {
        "width": 8 * zero.dtype.itemsize,
        "granularity": "channel" if scale.ndim else "tensor",
        "scales": values.size,
    } | {name: f"{value:.6g}" for name, value in ends.items()}


def _shape(known: Shapes, tensor: str) -> str:
    return "x".join(map(str, known[tensor]))


def _joined(names: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(names))
