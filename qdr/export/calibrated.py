"""Post-training quantization of an ONNX file: Q/DQ pairs around its convolutions and matrix products, calibrated on images.

For files without a torch network behind them. Normalizations are folded first, by ONNX Runtime's basic optimizations. Every
Conv, ConvTranspose, MatMul and Gemm with a stored weight then gets signed INT8 with zero point 0: one scale per tensor
before it, one per output channel of its weight (one in all for a transposed convolution in groups), each that of the least
squared error, as for torch networks (`qdr.quant.observers`). Everything else, the bias too, stays in FP32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper, version_converter

from qdr.errors import QdrError
from qdr.export import numerics
from qdr.export.graph import DEQUANTIZE, QUANTIZE, Graph, attribute
from qdr.export.mixed import KINDS
from qdr.export.qdq import OPSET
from qdr.quant.affine import integer_range
from qdr.quant.observers import OBSERVERS, WEIGHT_OBSERVERS
from qdr.quant.policy import decide

Batch = NDArray[np.float32]
_SAMPLE = 16384


def quantize_onnx(
    model: onnx.ModelProto, images: Sequence[Batch], scheme: str
) -> tuple[onnx.ModelProto, dict[str, Batch], list[str]]:
    """Quantize an FP32 file.

    Args:
        model: of one image [n, c, h, w] in and out.
        images: for calibration, as the file takes them.
        scheme: "W8A8", "W7A8" or "W4A8".

    Returns:
        The Q/DQ file; the real-valued weights by the name of their integers; layers that stay in floating point and why.

    Raises:
        QdrError: when the file is quantized already, or ONNX Runtime cannot run it.
    """
    if any(node.op_type in (QUANTIZE, DEQUANTIZE) for node in model.graph.node):
        raise QdrError("the file is quantized already: give the FP32 file")
    model = _simplified(model)
    graph = Graph(model)
    floats, chosen = [], []
    for node in [node for node in graph.nodes if node.op_type in KINDS]:
        why = _refusal(graph, node)
        if why:
            floats.append(f"{node.name or node.output[0]} ({node.op_type}): {why}")
        else:
            chosen.append(node)
    if not chosen:
        raise QdrError("the file has no convolution or matrix product with a stored weight: there is nothing to quantize")
    scales = _activation_scales(model, list(dict.fromkeys(node.input[0] for node in chosen)), images)
    return *_insert(model, graph, chosen, scales, decide("every", scheme).weights), floats


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """The file at our opset, with normalizations folded and constants computed."""
    try:
        if next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")) < OPSET:
            model = version_converter.convert_version(model, OPSET)
        with tempfile.TemporaryDirectory() as folder:
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = str(Path(folder) / "simplified.onnx")
            options.log_severity_level = 3
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            simplified = onnx.load(options.optimized_model_filepath)
    except Exception as error:  # onnx and onnxruntime raise many kinds without a common base
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise QdrError(f"ONNX Runtime cannot simplify the file ({reason}): export it again at opset {OPSET}") from error
    names = set()
    for i, node in enumerate(simplified.graph.node):  # names that are there and unlike
        node.name = node.name if node.name and node.name not in names else f"{node.op_type}_{i}"
        names.add(node.name)
    return simplified


def _refusal(graph: Graph, node: onnx.NodeProto) -> str:
    weight = graph.constant(node, 1)
    if weight is None:
        return "its weight is computed"
    if weight.dtype != np.float32 or node.input[0] in graph.values:
        return f"its weight is {weight.dtype} or its input stored"
    if node.op_type == "MatMul" and weight.ndim != 2:
        return f"its weight has {weight.ndim} dimensions"
    given = {a.name: a.f for a in node.attribute if a.name in ("alpha", "beta")}
    if node.op_type == "Gemm" and (any(value != 1 for value in given.values()) or attribute(node, "transA", 0)):
        return "it scales or turns its operands"
    return ""


def _activation_scales(model: onnx.ModelProto, tensors: list[str], images: Sequence[Batch]) -> dict[str, np.float32]:
    """The scale of each tensor, from what it is on the images."""
    outside = {value.name for value in model.graph.input}
    inner = [name for name in tensors if name not in outside]
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in tensors}
    watched = numerics.watching(model, inner).SerializeToString()
    session = numerics.exact_session(watched, optimized=True) if inner else None
    rng = np.random.default_rng(0)
    for image in images:
        found: list[Any] = session.run(inner, {model.graph.input[0].name: image}) if session else []
        for name, value in (*zip(inner, found, strict=True), *((name, image) for name in tensors if name in outside)):
            flat = value.reshape(-1)
            sample = flat if flat.size <= _SAMPLE else rng.choice(flat, _SAMPLE)
            seen[name].append(torch.from_numpy(np.concatenate([[flat.min(), flat.max()], sample]).astype(np.float32)))
    return {name: np.float32(OBSERVERS["mse"](values, *integer_range(8))) for name, values in seen.items()}


def _insert(
    model: onnx.ModelProto, graph: Graph, chosen: list[onnx.NodeProto], scales: dict[str, np.float32], bits: int
) -> tuple[onnx.ModelProto, dict[str, Batch]]:
    constants: dict[str, NDArray[Any]] = {"qdr.zero": np.int8(0)}  # type: ignore[dict-item]
    before: dict[str, list[onnx.NodeProto]] = {}  # the first reader of a tensor -> the pair
    real: dict[str, Batch] = {}
    made: dict[str, str] = {}
    for node in chosen:
        tensor, stored = node.input[0], node.input[1]
        pairs = before.setdefault(node.name, [])
        if tensor not in made:
            scale = f"{tensor}.scale"
            constants[scale] = np.asarray(scales[tensor])
            made[tensor] = f"{tensor}.x"
            pairs += [
                helper.make_node(QUANTIZE, [tensor, scale, "qdr.zero"], [f"{tensor}.q"], name=f"{tensor}.quantize"),
                helper.make_node(
                    DEQUANTIZE, [f"{tensor}.q", scale, "qdr.zero"], [made[tensor]], name=f"{tensor}.dequantize"
                ),
            ]
        name, axis = f"{stored}.integers", _axis(graph, node)
        if name not in constants:
            real[name] = graph.values[stored].astype(np.float32)
            constants[name], constants[f"{stored}.scales"] = _weight(real[name], axis, bits)
            constants[f"{stored}.zeros"] = np.zeros(constants[f"{stored}.scales"].shape, np.int8)
            inputs = [name, f"{stored}.scales", f"{stored}.zeros"]
            about: dict[str, Any] = {} if axis is None else {"axis": axis}
            pairs.append(helper.make_node(DEQUANTIZE, inputs, [f"{stored}.w"], name=f"{stored}.dequantize", **about))
        node.input[0], node.input[1] = made[tensor], f"{stored}.w"
    nodes = [each for node in model.graph.node for each in (*before.get(node.name, []), node)]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    onnx.checker.check_model(model, full_check=True)
    return model, real


def _axis(graph: Graph, node: onnx.NodeProto) -> int | None:
    """The axis of the output channels in a weight; None for one scale."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1 if attribute(node, "group", 1) == 1 else None
    return 0 if node.op_type == "Gemm" and attribute(node, "transB", 0) else 1


def _weight(weight: Batch, axis: int | None, bits: int) -> tuple[NDArray[np.int8], Batch]:
    low, high = integer_range(bits, narrow=True)
    channels = weight.reshape(1, -1) if axis is None else np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    scale = WEIGHT_OBSERVERS["mse"](torch.from_numpy(np.ascontiguousarray(channels)), low, high).numpy()
    shape = [1] * weight.ndim
    if axis is not None:
        shape[axis] = scale.size
    codes = np.clip(np.rint(weight / scale.reshape(shape)), low, high).astype(np.int8)
    return codes, scale.reshape(()) if axis is None else scale
