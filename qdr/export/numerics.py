"""The numerics record of an exported file: a small probe image and what the file's arithmetic makes of it.

An engine may load a Q/DQ file and compute something else without saying so: x86 without VNNI adds pairs of uint8 x int8
products in 16 bits, which saturate (up to 97 grey levels off in OpenVINO), and OpenVINO 2026.4 fuses a signed INT8 Concat
wrongly. Every exported file therefore carries the exact result for a probe, and `qdr.runtimes.verify` holds each engine
against it before it is used.

The record is an entry of the file's `metadata_props`, which engines ignore: JSON with

    probe     uint8 RGB [h, w, 3]: colour ramps, hard edges, noise, flat saturated and dark areas; zlib, base64
    result    the exact output, clipped to [0, 1], as uint16 of 65535 steps, same shape
    spread    grey levels by which two orders of floating-point summation differ on average: how far the network
              magnifies single rounding flips (0 to 0.1 for an EFM, 0.8 for Restormer)
    graph     sha256 of the graph the record belongs to
    sha256    of all of the above

Exact is the Q/DQ arithmetic as ONNX defines it (x -> s * clamp(round_half_even(x / s))), evaluated in FP32 by ONNX Runtime
with every graph optimization off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from qdr.errors import QdrError
from qdr.export.graph import DEQUANTIZE, QUANTIZE, Graph

KEY = "qdr.numerics"
SIDE = 64
_STEPS = 65535
Image = NDArray[np.uint8]
Batch = NDArray[np.float32]


@dataclass(frozen=True)
class Record:
    """A probe and its exact result.

    Args:
        probe: uint8 RGB [h, w, 3].
        result: float32 [h, w, 3] in [0, 1].
        spread: mean difference of two exact evaluations in grey levels.
    """

    probe: Image
    result: Batch
    spread: float


def probe_image(height: int = SIDE, width: int = SIDE, channels: int = 3) -> Image:
    """uint8 [height, width, channels]: quadrants of colour ramps, edges, noise and flat areas; the same on every machine."""
    y, x = np.mgrid[0 : height - height // 2, 0 : width - width // 2]
    across, down = x / max(1, x.max()), y / max(1, y.max())
    ramp = np.stack([across, down, (across + 1 - down) / 2], axis=2) * 255
    stripes = (x // (1 + x // 8 % 4) + y // 8) % 2
    edges = np.stack([stripes, 1 - stripes * (y % 16 < 8), stripes], axis=2) * 255.0
    noise = np.random.default_rng(0).integers(0, 256, ramp.shape).astype(float)
    left, top = (x % 32 < 16)[..., None], (y % 32 < 16)[..., None]
    flat = np.where(left, np.where(top, 255.0, (240, 20, 20)), 0.08 * noise)
    whole = np.concatenate([np.concatenate([ramp, edges], axis=1), np.concatenate([noise, flat], axis=1)])
    return np.ascontiguousarray(np.rint(whole[:height, :width, np.arange(channels) % 3]).astype(np.uint8))


def exact_session(source: Path | bytes, threads: int = 1, optimized: bool = False) -> Any:
    """An ONNX Runtime session that evaluates a file's Q/DQ nodes as they are written, in FP32.

    `optimized` allows the graph optimizations that leave Q/DQ alone: as fast as an FP32 model, sums in another order.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if optimized:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    else:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    given = source if isinstance(source, bytes) else str(source)
    try:
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many kinds without a common base
        what, reason = given if isinstance(given, str) else "the model", str(error).strip().splitlines()[-1]
        raise QdrError(f"ONNX Runtime cannot load {what}: {reason}") from error


def watching(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """A copy whose outputs are the given tensors of the graph."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in tensors)
    return watched


def to_batch(image: Image) -> Batch:
    """[1, 3, h, w] in [0, 1] of uint8 RGB [h, w, 3]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255)


def to_pixels(restored: Batch) -> Batch:
    """[h, w, 3] clipped to [0, 1] of an engine's output [1, 3, h, w]."""
    pixels: Batch = np.clip(restored[0].transpose(1, 2, 0), 0, 1)
    return pixels


def compute(model: onnx.ModelProto, height: int = SIDE, width: int = SIDE) -> Record:
    """The record of a model for a probe of a size its input takes."""
    source = model.SerializeToString()
    shape = model.graph.input[0].type.tensor_type.shape.dim
    probe = probe_image(height, width, shape[1].dim_value or 3)
    name = model.graph.input[0].name
    sessions = (exact_session(source, optimized=optimized) for optimized in (False, True))
    first, second = (to_pixels(session.run(None, {name: to_batch(probe)})[0]) for session in sessions)
    return Record(probe, first, float(np.abs(first - second).mean() * 255))


SAFE = 64  # 2 * 255 * 64 fits 16 bits


def fits_16_bits(model: onnx.ModelProto) -> bool:
    """Whether no two products of a uint8 activation and a stored weight can overflow a 16-bit sum: weights in [-64, 64]."""
    graph = Graph(model)
    stored = [graph.values.get(node.input[0]) for node in graph.nodes if node.op_type == DEQUANTIZE]
    return all(codes is None or codes.dtype != np.int8 or np.abs(codes.astype(np.int16)).max() <= SAFE for codes in stored)


def largest_products() -> onnx.ModelProto:
    """A Q/DQ model that makes 1 of an image of ones, in sums of the largest products: codes and weights of 127.

    The second convolution's input has no ReLU before it, so that engines that store int8 as uint8 + 128 get codes of 255.
    """
    width = 32
    values = {
        "step": np.float32(1 / 127),
        "zero": np.int8(0),
        "spread": np.ones((width, 3, 1, 1), np.int8),
        "spread.scale": np.full(width, 1 / 3, np.float32),
        "gather": np.full((3, width, 3, 3), 127, np.int8),
        "gather.scale": np.full(3, 1 / (127 * width * 9), np.float32),
    }
    nodes, last = [], "image"
    for name, count in (("spread", width), ("gather", 3)):
        values[f"{name}.zeros"] = np.zeros(count, np.int8)
        nodes += [
            onnx.helper.make_node(QUANTIZE, [last, "step", "zero"], [f"{name}.q"]),
            onnx.helper.make_node(DEQUANTIZE, [f"{name}.q", "step", "zero"], [f"{name}.x"]),
            onnx.helper.make_node(DEQUANTIZE, [name, f"{name}.scale", f"{name}.zeros"], [f"{name}.w"], axis=0),
            onnx.helper.make_node("Conv", [f"{name}.x", f"{name}.w"], [f"{name}.y"], name=name),
        ]
        last = f"{name}.y"
    shapes = (("image", "h", "w"), (last, "a", "b"))
    image, output = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 3, h, w]) for n, h, w in shapes)
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    graph = onnx.helper.make_graph(nodes, "largest", [image], [output], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def attach(model: onnx.ModelProto) -> None:
    """Add a model's record to its metadata, in place of an older one, for a probe of the size that the input is fixed to."""
    record = compute(model, *(side.dim_value or SIDE for side in model.graph.input[0].type.tensor_type.shape.dim[2:]))
    content = {
        "probe": _pack(record.probe),
        "result": _pack(np.rint(record.result * _STEPS).astype("<u2")),
        "shape": list(record.probe.shape),
        "spread": round(record.spread, 6),
        "graph": _graph_digest(model),
    }
    set_metadata(model, KEY, json.dumps(content | {"sha256": _digest(content)}, sort_keys=True))


def read(model: onnx.ModelProto, about: str) -> Record | None:
    """The record in a file, or None where it has none or one of another graph (a tool has changed the file since).

    Raises:
        QdrError: when the record is damaged.
    """
    text = metadata(model, KEY)
    if text is None:
        return None
    try:
        content = json.loads(text)
        if content.pop("sha256") != _digest(content):
            raise ValueError("its checksum does not fit")
        shape = tuple(int(side) for side in content["shape"])
        probe = np.frombuffer(_unpack(content["probe"]), np.uint8).reshape(shape)
        result = np.frombuffer(_unpack(content["result"]), "<u2").reshape(shape).astype(np.float32) / np.float32(_STEPS)
        record = Record(probe, result, float(content["spread"]))
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise QdrError(f"{about}: its numerics record is damaged ({error}): export the file again") from error
    return record if content["graph"] == _graph_digest(model) else None


def metadata(model: onnx.ModelProto, key: str) -> str | None:
    """An entry of a file's metadata."""
    return next((entry.value for entry in model.metadata_props if entry.key == key), None)


def set_metadata(model: onnx.ModelProto, key: str, value: str) -> None:
    """Write an entry of a file's metadata in place of an older one."""
    kept = [entry for entry in model.metadata_props if entry.key != key]
    added = onnx.StringStringEntryProto(key=key, value=value)
    del model.metadata_props[:]
    model.metadata_props.extend([*kept, added])


def _graph_digest(model: onnx.ModelProto) -> str:
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _pack(values: NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text, validate=True))
