"""What is slow about a file here: FP32, FP16 or bf16, and INT8 timed in turn, and where the time of INT8 goes.

FP32 and its halves are timed on the file without its Q/DQ, which has the same layers. Where the time goes is OpenVINO's own
profile (PERF_COUNT) by the kind of what it runs after fusion:

    convolutions  and matrix products, which is what integers make fast
    re-quantized  a tensor rounded again by itself, because the layer before or behind it did not take that over
    reformatted   values moved: layouts, types, concatenations, shuffles
    other         whatever an engine does not fuse into a layer: normalizations, gates, activations, additions

Shares are of the fastest of some blocks. Measured on packaged weights, which are in order: convolutions 63 to 81 %,
re-quantized 1 %, reformatted 7 to 19 %, other 11 to 24 %, on two cores with AMX; a NAFNet, which INT8 makes hardly faster,
25, 1, 20 and 54 %.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import openvino as ov
from numpy.typing import NDArray

from qdr import machine
from qdr.doctor.finding import Finding
from qdr.errors import QdrError
from qdr.export import mixed
from qdr.export.graph import Graph, is_quantized
from qdr.runtimes.census import of_openvino
from qdr.runtimes.openvino import properties
from qdr.runtimes.session import open_session
from qdr.runtimes.verify import GATES, ORDER, Verdict, off_by

Batch = NDArray[np.float32]
Way = tuple[str, str]  # an engine and a precision
SIDE, ROUNDS, _CALLS = 256, 5, 3
_BLOCKS, _RUNS = 3, 4
_GAIN = 0.9  # of FP32's time, which INT8 has to be below
FLOAT_SHARE = 0.05  # of the multiply-accumulates, from which layers in floating point are named
LIMITS = {"re-quantized": 0.2, "reformatted": 0.3, "other": 0.5}  # of the time
_REMEDY = {
    "re-quantized": "put Q/DQ at the inputs of layers only, and one scale where a tensor has several readers",
    "reformatted": "avoid concatenations, transposes and shuffles between layers",
    "other": "take ReLU, additions and few gates or normalizations between layers",
}
_PRODUCTS = ("Convolution", "Deconvolution", "MatMul", "FullyConnected", "GroupConvolution")
_QUANTIZES = ("FakeQuantize", "Quantize", "QuantizeLinear", "DequantizeLinear")
_MOVES = (
    *("Reorder", "Transpose", "Concatenation", "Split", "Convert", "DepthToSpace", "SpaceToDepth", "StridedSlice", "Pad"),
    *("Reshape", "Gather", "Tile", "Broadcast", "MemoryInput", "ShuffleChannels"),
)
_UNFUSED = "Q/DQ belongs at both inputs of a layer, with nothing between"
_SHOWN = 3


@dataclass(frozen=True)
class Time:
    """One way to run a file here.

    Args:
        engine: that runs it.
        precision: "int8", "fp32", "fp16" or "bf16".
        milliseconds: for one image, the fastest of some rounds in turn with the others.
        right: whether it may be taken.
        mean_level: mean difference in grey levels, of INT8 to the exact arithmetic of the file, else to FP32.
        high_level: its 99.9th percentile.
    """

    engine: str
    precision: str
    milliseconds: float
    right: bool
    mean_level: float
    high_level: float


@dataclass(frozen=True)
class Speed:
    """What was timed.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
        times: of every way, the fastest first.
        shares: of OpenVINO's time by the kinds above.
        unfused: convolutions that OpenVINO runs in floating point.
    """

    height: int
    width: int
    times: list[Time]
    shares: dict[str, float]
    unfused: list[str]

    @property
    def take(self) -> Time | None:
        """The fastest that is right."""
        return next((time for time in self.times if time.right), None)


def timed(model: onnx.ModelProto, verdicts: Sequence[Verdict], threads: int, image: Batch) -> Speed:
    """Time every way to run a model.

    Args:
        model: in qdr's own form.
        verdicts: of the engines on it.
        threads: of the engines.
        image: [1, c, h, w] that it takes.
    """
    known = {(verdict.engine, verdict.precision): verdict for verdict in verdicts}
    quantized = is_quantized(model)
    with tempfile.TemporaryDirectory() as folder:
        plain = own = Path(folder) / "fp32.onnx"
        onnx.save(mixed.in_reals(model) if quantized else model, plain)
        if quantized:
            own = Path(folder) / "int8.onnx"
            onnx.save(model, own)
        ways = _ways(own, plain, threads)
        taken = _in_turn(ways, image)
        expected = next((run(image) for way, run in ways.items() if way == ("onnxruntime", "fp32")), None)
        times = []
        for (engine, precision), milliseconds in taken.items():
            verdict = known.get((engine, precision))
            if verdict is not None:
                levels = verdict.right, verdict.mean_level, verdict.high_level
            else:
                levels = _levels(ways[engine, precision](image), expected)
            times.append(Time(engine, precision, milliseconds, *levels))
        shares, unfused = _profile(own, threads, image)
    return Speed(image.shape[2], image.shape[3], sorted(times, key=lambda t: t.milliseconds), shares, unfused)


def slow(model: onnx.ModelProto, speed: Speed) -> list[Finding]:
    """The findings on a file's speed."""
    if not is_quantized(model):
        return [Finding("slow", "fp32", "no layer is in INT8: `qdr quantize FILE --images DIR --out int8.onnx` makes it so")]
    found = [*_floats(model, speed.height, speed.width)]
    asked = sum(nodes[0].op_type.startswith("Conv") for nodes in mixed.layers(model).values())
    meant = sum(node.op_type.startswith("Conv") for node in model.graph.node) - asked
    if len(speed.unfused) > meant:
        listed = ", ".join(speed.unfused[:_SHOWN])
        text = (
            f"OpenVINO runs {len(speed.unfused) - meant} convolutions in FP32 that the file quantizes ({listed}): {_UNFUSED}"
        )
        found.append(Finding("slow", "unfused", text))
    best = {p: min((t.milliseconds for t in speed.times if t.precision == p), default=np.inf) for p in ("int8", "fp32")}
    if best["int8"] > _GAIN * best["fp32"]:
        times = f"{best['int8']:.1f} ms against {best['fp32']:.1f} in FP32"
        text = f"INT8 gains little or nothing here, {times}: take the FP32 file"
        found.append(Finding("slow", "speed", text))
    for kind, limit in LIMITS.items():
        if speed.shares.get(kind, 0.0) > limit:
            text = f"{100 * speed.shares[kind]:.0f} % of the time goes into what is {kind}: {_REMEDY[kind]}"
            found.append(Finding("slow", kind, text))
    return found


def _floats(model: onnx.ModelProto, height: int, width: int) -> list[Finding]:
    """Layers whose products are not of integers, by their share of the multiply-accumulates."""
    work = mixed.products(model, height, width)
    inside = {node.output[0] for nodes in mixed.layers(model).values() for node in nodes}
    floats = {name: count for name, count in work.items() if name not in inside}
    total = max(1, sum(work.values()))
    share = sum(floats.values()) / total
    if share <= FLOAT_SHARE:
        return []
    names = {node.output[0]: node.name or node.output[0] for node in Graph(model).nodes}
    largest = sorted(floats, key=lambda name: -floats[name])
    listed = ", ".join(f"{names[name]} ({100 * floats[name] / total:.0f} %)" for name in largest[:_SHOWN])
    more = f" and {len(largest) - _SHOWN} more" if len(largest) > _SHOWN else ""
    text = (
        f"{100 * share:.0f} % of the multiply-accumulates are not in INT8: {listed}{more}: quantize them, or see --max-drop"
    )
    return [Finding("slow", "float", text)]


def _ways(own: Path, plain: Path, threads: int) -> dict[Way, Callable[[Batch], Batch]]:
    """Every way to run a file, by engine and precision; engines that cannot load it are left out."""
    asked: list[tuple[Way, Callable[[], Callable[[Batch], Batch]]]] = []
    if own != plain:
        asked += [((engine, "int8"), partial(_open, engine, own, "int8", threads)) for engine in ORDER]
    asked += [((engine, "fp32"), partial(_open, engine, plain, "fp32", threads)) for engine in ORDER[:2]]
    asked += [(("openvino", half), partial(_half, plain, half, threads)) for half in _halves()]
    ways: dict[Way, Callable[[Batch], Batch]] = {}
    for way, opened in asked:
        with suppress(QdrError):  # the findings on engines say why
            ways[way] = opened()
    return ways


def _open(engine: str, path: Path, precision: str, threads: int) -> Callable[[Batch], Batch]:
    return open_session(engine, path, precision, threads).run


def _halves() -> list[str]:
    """Half precisions that this processor computes in itself."""
    able = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [name for name, there in (("bf16", machine.has_bf16()), ("fp16", "FP16" in able)) if there]


def _half(path: Path, precision: str, threads: int) -> Callable[[Batch], Batch]:
    hint = {"INFERENCE_PRECISION_HINT": "f16" if precision == "fp16" else precision}
    try:
        model = ov.Core().compile_model(str(path), "CPU", properties("fp32", threads) | hint)
    except RuntimeError as error:
        raise QdrError(f"OpenVINO cannot load the file in {precision}") from error
    return lambda image: np.asarray(model([image])[0], np.float32)


def _in_turn(ways: dict[Way, Callable[[Batch], Batch]], image: Batch) -> dict[Way, float]:
    """Milliseconds of each way, the fastest of rounds in which every one has its turn; a way that fails is left out."""
    times: dict[Way, float] = {}
    for number in range(ROUNDS + 1):
        for way in list(ways):
            for _ in range(_CALLS):  # the first finds another engine's values in the caches
                begun = perf_counter()
                try:
                    ways[way](image)
                except Exception:  # engines raise many kinds without a common base
                    del ways[way]
                    break
                if number:
                    times[way] = min(times.get(way, np.inf), (perf_counter() - begun) * 1e3)
    return {way: round(found, 3) for way, found in times.items() if way in ways}


def _levels(found: Batch, expected: Batch | None) -> tuple[bool, float, float]:
    """Whether pixels agree with FP32's, and by how many grey levels they differ."""
    if expected is None or not np.isfinite(found).all():
        return False, 0.0, 0.0
    mean, high = off_by(np.clip(found, 0, 1), np.clip(expected, 0, 1))
    return mean <= GATES["bf16"][0] and high <= GATES["bf16"][1], round(mean, 4), round(high, 3)


def _profile(path: Path, threads: int, image: Batch) -> tuple[dict[str, float], list[str]]:
    """Shares of OpenVINO's time by kind, and the convolutions it runs in floating point; none where it does not run it."""
    blocks: list[Counter[str]] = []
    try:
        for _ in range(_BLOCKS):
            compiled = ov.Core().compile_model(str(path), "CPU", properties("fp32", threads) | {"PERF_COUNT": True})
            request = compiled.create_infer_request()
            for _ in range(_RUNS):
                request.infer([image])
            block: Counter[str] = Counter()
            for node in request.profiling_info:
                block[_kind(node.node_type)] += node.real_time.total_seconds()
            blocks.append(block)
    except RuntimeError:
        return {}, []
    layers = of_openvino(compiled.get_runtime_model().get_ordered_ops())
    floats = [layer.name for layer in layers if layer.convolves and layer.precision != "int8"]
    fastest = {kind: min(block[kind] for block in blocks) for kind in blocks[0]}
    total = max(1e-12, sum(fastest.values()))
    return {kind: fastest[kind] / total for kind in ("convolutions", *LIMITS) if kind in fastest}, floats


def _kind(node_type: str) -> str:
    if node_type in _PRODUCTS:
        return "convolutions"
    return "re-quantized" if node_type in _QUANTIZES else "reformatted" if node_type in _MOVES else "other"
