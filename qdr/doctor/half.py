"""Which tensors of a network overflow in FP16: beyond 65504, as squares in the variance of a normalization soon are.

A tensor that is stored between two operations is looked at as it is; the fused LayerNormalization by the variance it
computes inside. Engines that add in FP32 within an operation are not helped by that where the result itself does not fit.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from qdr.doctor.finding import Finding
from qdr.export import numerics
from qdr.export.graph import Graph, attribute

Batch = NDArray[np.float32]
LARGEST = 65504.0


def overflow(model: onnx.ModelProto, image: Batch) -> list[Finding]:
    """The finding that FP16 is too small for a network, if it is.

    Args:
        model: without Q/DQ, in FP32.
        image: [1, c, h, w] in [0, 1].
    """
    graph = Graph(model)
    inner = [name for node in graph.nodes for name in node.output[:1] if name and name not in graph.values]
    watched = numerics.watching(model, inner).SerializeToString()
    values = numerics.exact_session(watched).run(inner, {model.graph.input[0].name: image})
    made = dict(zip(inner, values, strict=True))
    beyond = []
    for node in graph.nodes:
        value = made.get(node.output[0])
        if value is None or value.dtype != np.float32:
            continue
        size = float(np.abs(value).max(initial=0.0))
        if node.op_type == "LayerNormalization" and node.input[0] in made:
            size = max(size, _variance(made[node.input[0]], attribute(node, "axis", -1)))
        if size > LARGEST:
            beyond.append((node, size))
    if not beyond:
        return []
    node, size = beyond[0]
    more = f", and {len(beyond) - 1} more" if len(beyond) > 1 else ""
    text = (
        f"in FP16 {node.name or node.output[0]} ({node.op_type}) overflows, {size:.3g} where FP16 ends at 65504{more}: keep "
        "this normalization in FP32, or scale its input down"
    )
    return [Finding("wrong", "fp16", text)]


def _variance(value: Batch, axis: int) -> float:
    axes = tuple(range(axis % value.ndim, value.ndim))
    return float(value.astype(np.float64).var(axis=axes).max())
