"""What an INT8 engine has to do, kernel by kernel: multiplications, channels, bytes. Read from the exported file.

The file's nodes are grouped as TensorRT fuses them (developer guide, "Types of Fusions"): a convolution takes the
addition, the ReLU and the quantization that follow it; what else is elementwise joins the operation before it, or is a
kernel of its own. A tensor between two kernels costs its bytes once to the writer and once to each reader: one byte per
value behind a QuantizeLinear, four elsewhere (a Q/DQ file leaves the rest in FP32).

All costs of a convolutional network grow with the number of pixels, so a row holds them per pixel of the image; only
the weights do not.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from qdr.errors import QdrError
from qdr.export.file import read_onnx
from qdr.export.graph import Shapes, attribute, shapes
from qdr.export.qdq import Exporter
from qdr.models.blocks import stride
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.rows import write_rows
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.processes import side_by_side
from qdr.suite.zoo import build_model

ELEMENTWISE = {"Relu", "Add", "Mul", "Sub", "Sigmoid", "QuantizeLinear"}
INTO_CONVOLUTION = {"Relu", "Add", "QuantizeLinear"}


@dataclass
class Kernel:
    """One launch. `macs` and `activation_bytes` are of the whole image, channels are those of a convolution."""

    name: str
    convolution: bool
    channels_in: int = 0
    channels_out: int = 0
    macs: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)


PRESETS = {"nano": "efm-nano", "base": "efm", "large": "efm-large"}


def write_kernels(config: Config, presets: dict[str, str] = PRESETS) -> None:
    """Write results/<profile>/kernels.csv, a prediction's input; nothing in it depends on weights, data or the machine.

    `presets` are the networks it is made for, of `qdr.suite.zoo`, by the name of the row.
    """
    found = side_by_side(partial(_rows, config), list(presets.items()), config.threads, "kernels")
    write_rows(paths.results(config.profile) / "kernels.csv", [row for rows in found for row in rows])


def _rows(config: Config, preset: tuple[str, str]) -> list[dict[str, Any]]:
    return describe(preset[0], build_model(preset[1], config.model))


def describe(name: str, network: nn.Module) -> list[dict[str, Any]]:
    """The rows of one EFM (quantized here, in place), from its exported W8A8 file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "efm.onnx"
        write_int8(network, path)
        side = 8 * stride(network)
        found = kernels(read_onnx(path), side, side)
    pixels = side * side
    return [
        {"model": name, "kernel": kernel.name, "kind": "convolution" if kernel.convolution else "elementwise"}
        | {"channels_in": kernel.channels_in, "channels_out": kernel.channels_out}
        | {"macs_per_pixel": f"{kernel.macs / pixels:.6g}", "bytes_per_pixel": f"{kernel.activation_bytes / pixels:.6g}"}
        | {"weight_bytes": kernel.weight_bytes}
        for kernel in found
    ]


def kernels(model: onnx.ModelProto, height: int, width: int) -> list[Kernel]:
    """The launches that an image of `height` x `width` costs."""
    sizes, graph = shapes(model, height, width), model.graph
    constants = {t.name for t in graph.initializer} | {n.output[0] for n in graph.node if n.op_type == "Constant"}
    made: dict[str, Kernel] = {}  # tensor -> its kernel
    alias: dict[str, str] = {}  # output of a DequantizeLinear -> the integers it reads
    narrow: set[str] = set()
    listed: list[Kernel] = []
    for node in graph.node:
        inputs = [alias.get(name, name) for name in node.input if name and name not in constants]
        if node.op_type == "DequantizeLinear":
            alias[node.output[0]] = inputs[0] if inputs else node.input[0]
            if not inputs:
                constants.add(node.output[0])
            continue
        kernel = _joined(node, inputs, made, listed)
        if kernel is None:
            kernel = Kernel(node.output[0], node.op_type == "Conv")
            listed.append(kernel)
        if node.op_type == "Conv":
            _add_convolution(kernel, node, alias, sizes)
        kernel.reads |= {name for name in inputs if made.get(name) is not kernel}
        made[node.output[0]] = kernel
        if node.op_type == "QuantizeLinear":
            narrow.add(node.output[0])
    results = {value.name for value in graph.output}
    for kernel in listed:
        others = {name for other in listed if other is not kernel for name in other.reads} | results
        kernel.writes = {name for name, owner in made.items() if owner is kernel and name in others}
        kernel.activation_bytes = sum(
            prod(sizes[name]) * (1 if name in narrow else 4) for name in (*kernel.reads, *kernel.writes)
        )
    return listed


def _joined(node: onnx.NodeProto, inputs: list[str], made: dict[str, Kernel], listed: list[Kernel]) -> Kernel | None:
    """The kernel that a node is fused into: the latest of those it reads from, if that one takes such a node."""
    if node.op_type not in ELEMENTWISE:
        return None
    before = [made[name] for name in inputs if name in made]
    if not before:
        return None
    latest = max(before, key=listed.index)
    return None if latest.convolution and node.op_type not in INTO_CONVOLUTION else latest


def _add_convolution(kernel: Kernel, node: onnx.NodeProto, alias: dict[str, str], sizes: Shapes) -> None:
    if attribute(node, "group", 1) != 1:
        raise QdrError(f"{node.name}: a grouped convolution has no place in this model of an INT8 engine")
    weight = sizes[alias.get(node.input[1], node.input[1])]
    out = sizes[node.output[0]]
    kernel.name = alias.get(node.input[1], node.input[1]).removesuffix(".integers").removesuffix(".weight")
    kernel.channels_out, kernel.channels_in = weight[0], weight[1]
    kernel.macs = prod(weight) * out[2] * out[3]
    kernel.weight_bytes = prod(weight) * (1 if node.input[1] in alias else 4) + 4 * weight[0]


def write_int8(network: nn.Module, path: Path) -> None:
    """Export a network at W8A8, calibrated on noise: what the engine has to do does not depend on the values."""
    step = stride(network)
    prepare(network, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(network, [torch.rand(1, 3, 4 * step, 4 * step)])
    Exporter().write(network, path, "efm", step)
