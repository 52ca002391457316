"""What this machine can do at most: rates of integer, FP32 and bf16 arithmetic and of copying, with 1 and N threads.

A speed means something only beside a limit. Arithmetic is measured with networks made for it: chains of convolutions
large enough to keep the units busy and small enough for the caches, through the engine that runs the models (OpenVINO),
so that the peak is one which that engine can reach; the best of two shapes, a 3x3 of 128 channels and a 1x1 of 1024
channels, which is a GEMM of 1024x1024x1024. GOPS counts a multiplication and an addition as two operations (FLOPs in
FP32). Copies count the bytes read and the bytes written: of 256 MiB (memory) and of 256 KiB per thread (cache).

Run as `python -m qdr.suite.bench.machine`, in a process of its own. Each rate is of the fastest of some calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
from onnx import TensorProto, helper, numpy_helper

from qdr.machine import has_bf16, processor
from qdr.runtimes.openvino import properties
from qdr.suite.bench.process import answer, ask

SHAPES = ((128, 3, 64), (1024, 1, 32))  # channels, kernel, side
LAYERS = 4
CALLS = 7
MIB = 2**20


def measured(threads: int) -> dict[str, Any]:
    """The record of machine.json: processor, power mode, and `peaks` by kind and number of threads.

    Kinds: int8_gops, fp32_gops, bf16_gops where the processor has bf16, memory_gbs and cache_gbs (1e9 bytes/s).
    """
    peaks = ask("qdr.suite.bench.machine", {"threads": sorted({1, threads})}, "measuring the machine's peak")
    return processor() | {"power": power_mode(), "threads": threads, "peaks": peaks}


def power_mode() -> str:
    """The frequency governor of the first core, or "unknown" where the system does not show it."""
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text(encoding="utf-8").strip() if path.is_file() else "unknown"


def chain(channels: int, kernel: int, side: int, integer: bool) -> tuple[bytes, int]:
    """An ONNX chain of `LAYERS` convolutions + ReLU on [1, channels, side, side], and its multiply-accumulates.

    With Q/DQ around each as in exported models (signed, zero point 0, weights per channel) if `integer`. The result is
    reduced to a number, so that writing it costs nothing.
    """
    shape = (channels, channels, kernel, kernel)
    weights = np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)
    values = {"scale": np.float32(0.02), "zero": np.int8(0), "float": weights.astype(np.float32) * np.float32(1e-3)}
    values |= {"integers": weights, "scales": np.full(channels, 1e-3, np.float32), "zeros": np.zeros(channels, np.int8)}
    nodes, last = [], "image"

    def quantized(name: str) -> str:
        nodes.append(helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}.q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.q", "scale", "zero"], [f"{name}.dq"]))
        return f"{name}.dq"

    for i in range(LAYERS):
        source, weight = (quantized(last), f"weight{i}") if integer else (last, "float")
        if integer:
            nodes.append(helper.make_node("DequantizeLinear", ["integers", "scales", "zeros"], [weight], axis=0))
        nodes.append(helper.make_node("Conv", [source, weight], [f"conv{i}"], pads=[kernel // 2] * 4))
        nodes.append(helper.make_node("Relu", [f"conv{i}"], [f"relu{i}"]))
        last = f"relu{i}"
    nodes.append(helper.make_node("ReduceMean", [quantized(last) if integer else last], ["mean"]))
    names = ("scale", "zero", "integers", "scales", "zeros") if integer else ("float",)
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, channels, side, side])]
    outputs = [helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, 1, 1, 1])]
    initializers = [numpy_helper.from_array(np.asarray(values[name]), name) for name in names]
    graph = helper.make_graph(nodes, "peak", inputs, outputs, initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(proto)
    return proto.SerializeToString(), LAYERS * channels**2 * kernel**2 * side**2


def arithmetic(precision: str, threads: int) -> float:
    """The best rate of the shapes, in GOPS."""
    best = 0.0
    for channels, kernel, side in SHAPES:
        model, macs = chain(channels, kernel, side, precision == "int8")
        core = ov.Core()
        compiled = core.compile_model(core.read_model(model), "CPU", properties(precision, threads))
        image = np.random.default_rng(0).random((1, channels, side, side), dtype=np.float32)
        best = max(best, 2 * macs / fastest(lambda: compiled([image])) / 1e9)  # noqa: B023
    return best


def copying(size: int, times: int, threads: int) -> float:
    """Rate of copying `size` bytes in each of several threads, `times` over, in 1e9 bytes/s read and written."""
    pairs = [(np.ones(size // 8), np.ones(size // 8)) for _ in range(threads)]

    def copy(pair: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> None:
        for _ in range(times):
            np.copyto(*pair)

    with ThreadPoolExecutor(threads) as pool:
        return 2 * size * times * threads / fastest(lambda: list(pool.map(copy, pairs))) / 1e9


def fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest of `CALLS` calls after two untimed ones."""
    times = []
    for _ in range(CALLS + 2):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times[2:])


def _measure(request: dict[str, Any]) -> dict[str, dict[str, float]]:
    precisions = ["int8", "fp32", *(["bf16"] if has_bf16() else [])]
    peaks: dict[str, dict[str, float]] = {}
    for threads in request["threads"]:
        rates = {f"{precision}_gops": arithmetic(precision, threads) for precision in precisions}
        rates["memory_gbs"] = copying(256 * MIB // threads, 1, threads)
        rates["cache_gbs"] = copying(MIB // 4, 200, threads)
        for kind, rate in rates.items():
            peaks.setdefault(kind, {})[str(threads)] = float(f"{rate:.4g}")
    return peaks


if __name__ == "__main__":
    answer(_measure)
