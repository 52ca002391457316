"""Where the time goes, layer by layer, and how far each convolution is from the machine's limit (the roofline).

OpenVINO's own profile (PERF_COUNT) gives the time of every node it runs; the exported file gives the work of every
convolution. A convolution of c to d channels with a k x k kernel on an output of h x w pixels takes c d k^2 h w
multiply-accumulates; it reads its input and weights and writes its output, one byte per value in INT8 and four in FP32
(what the engine writes is taken from its profile). The rate is 2 MACs / time, its share is that of the machine's
peak in the same precision with as many threads (`qdr.suite.bench.machine`).

The model of the roofline is Williams, Waterman and Patterson, 2009 (doi:10.1145/1498765.1498785): a layer with i
operations per byte cannot exceed min(peak, i x bandwidth). Run as `python -m qdr.suite.bench.layers`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from qdr.export.file import read_onnx
from qdr.export.graph import shapes
from qdr.runtimes.openvino import properties
from qdr.suite.bench.process import answer, ask
from qdr.suite.config import BenchConfig

BLOCKS, WARMUP, RUNS = 3, 2, 6
BYTES = {"f32": 4, "i32": 4, "bf16": 2, "f16": 2, "u8": 1, "i8": 1}


def measured(files: dict[str, str], settings: BenchConfig, machine: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of roofline.csv: files by precision ("fp32", "int8"), every side, in the order of execution."""
    rows = []
    for precision, path in files.items():
        peak = machine["peaks"][f"{precision}_gops"][str(settings.threads)]
        request = {"path": path, "precision": precision, "sides": sorted(settings.sides), "threads": settings.threads}
        for layer in ask("qdr.suite.bench.layers", request, f"profiling {Path(path).name}"):
            gops = 2e-3 * layer["macs"] / layer["microseconds"] if layer["macs"] else 0.0
            side = layer.pop("side")
            about = {"model": "efm", "precision": precision, "threads": settings.threads, "height": side, "width": side}
            rates = {"gops": f"{gops:.2f}", "peak_gops": f"{peak:.1f}", "share": f"{gops / peak:.4f}"}
            rows.append(about | layer | {"microseconds": f"{layer['microseconds']:.1f}"} | rates)
    return rows


def convolutions(path: Path, side: int, item: int) -> dict[str, dict[str, Any]]:
    """Name, MACs and bytes (without the output: its width is the engine's) of each convolution by the name of its node.

    `item` is the bytes of a value of the input and the weights.
    """
    proto = read_onnx(path)
    graph, sizes = proto.graph, shapes(proto, side, side)
    stored = {tensor.name for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    found = {}
    for node in graph.node:
        if node.op_type == "Conv":
            tensor = node.input[1] if node.input[1] in stored else makers[node.input[1]].input[0]
            weights, output = int(np.prod(sizes[tensor])), sizes[node.output[0]]
            moved = item * (int(np.prod(sizes[node.input[0]])) + weights)
            macs = weights * output[2] * output[3]
            layer = tensor.removesuffix(".integers").removesuffix(".weight").removesuffix(".conv")
            found[node.name] = {"layer": layer, "macs": macs, "bytes": moved, "values": int(np.prod(output))}
    return found


def profile(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Every node that ran: layer, kind, MACs, bytes (0 where it is no convolution), microseconds.

    The times are of the fastest of `BLOCKS` blocks, as those of the peak are of the fastest call.
    """
    path, rows = Path(request["path"]), []
    for side in request["sides"]:
        blocks = [_block(path, side, request["threads"]) for _ in range(BLOCKS)]
        work = convolutions(path, side, 1 if request["precision"] == "int8" else 4)
        for (name, kind, width), first in blocks[0].items():
            row: dict[str, Any] = {"side": side, "layer": name, "kind": kind, "macs": 0, "bytes": 0}
            if kind == "Convolution":
                conv = work[name.partition("/")[0]]
                row |= {"layer": conv["layer"], "macs": conv["macs"], "bytes": conv["bytes"] + conv["values"] * width}
            taken = min(block.get((name, kind, width), first) for block in blocks)
            rows.append(row | {"microseconds": taken})
    return rows


def _block(path: Path, side: int, threads: int) -> dict[tuple[str, str, int], float]:
    """Mean microseconds of each node over `RUNS` runs after `WARMUP`, by name, kind and bytes of a value it writes.

    OpenVINO tells the mean over all runs since the model was compiled; the runs wanted are the difference of two sums.
    """
    compiled = ov.Core().compile_model(str(path), "CPU", properties("fp32", threads) | {"PERF_COUNT": True})
    request = compiled.create_infer_request()
    image = np.random.default_rng(0).random((1, 3, side, side), dtype=np.float32)

    def total(runs: int, before: int) -> dict[tuple[str, str], float]:
        for _ in range(runs - before):
            request.infer([image])
        ran = [node for node in request.profiling_info if node.status == ov.ProfilingInfo.Status.EXECUTED]
        return {(node.node_name, node.node_type): runs * node.real_time.total_seconds() * 1e6 for node in ran}

    cold, warm = total(WARMUP, 0), total(WARMUP + RUNS, WARMUP)
    widths = _widths(compiled)
    return {(*node, widths[node[0]]): max(1.0, (taken - cold[node]) / RUNS) for node, taken in warm.items()}


def _widths(compiled: ov.CompiledModel) -> dict[str, int]:
    """Bytes of a value that each node writes."""
    nodes = compiled.get_runtime_model().get_ordered_ops()
    return {n.get_friendly_name(): BYTES.get(str(n.get_rt_info()["outputPrecisions"].value), 4) for n in nodes}


if __name__ == "__main__":
    answer(profile)
