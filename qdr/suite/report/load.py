"""Read results/ and refuse what does not fit its schema (results/README.md), naming file, line and value."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from qdr.errors import QdrError, nearest
from qdr.metrics.protocol import PROTOCOLS
from qdr.models import TASKS
from qdr.rows import check_keys, read_json, read_rows
from qdr.suite import paths
from qdr.suite.config import BITS, DETECTORS, SCENES
from qdr.suite.methods import catalogue

Check = Callable[[str], Any]


def _one_of(*names: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in names:
            raise ValueError(nearest(text, names))
        return text

    return check


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return value


def _text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _images(text: str) -> str:
    if text != "all" and not (text.isdigit() and int(text) > 0):
        raise ValueError("must be 'all' or a positive number")
    return text


def _method(text: str) -> str:
    _one_of(*catalogue())(text.partition("@")[0])
    return text


def _split(text: str) -> str:
    return _one_of(SCENES, *_sources(paths.manifest()))(text)


@cache
def _sources(manifest: Path) -> tuple[str, ...]:
    return tuple(read_json(manifest))


_RUN: dict[str, Check] = {"profile": _text, "task": _one_of(*TASKS)}
_HOW: dict[str, Check] = {"method": _method, "bits": _one_of(*BITS), "images": _images, "seed": int}
_WHERE: dict[str, Check] = {"split": _split, "image": _text}
_ENGINE = _one_of("none", "openvino", "onnxruntime", "exact", "tensorrt", "fake-quant", "torch")
_PRECISION = _one_of("fp32", "bf16", "int8", "int8-w7")

QUALITY: dict[str, Check] = (
    _RUN
    | _WHERE
    | _HOW
    | {"engine": _ENGINE, "metric": _one_of("psnr", "ssim"), "protocol": _one_of(*PROTOCOLS), "value": _number}
)
PARITY: dict[str, Check] = (
    _RUN
    | _WHERE
    | _HOW
    | {"reference": _ENGINE, "engine": _ENGINE, "delta_psnr_db": _number, "max_level": int, "mean_level": _number}
)
NUMERICS: dict[str, Check] = (
    _RUN | _HOW | {"engine": _ENGINE, "verdict": _one_of("right", "wrong"), "mean_level": _number, "high_level": _number}
)
PACKAGED: dict[str, Check] = (
    _RUN
    | _WHERE
    | {"bits": _one_of("input", *BITS), "engine": _ENGINE, "metric": _one_of("psnr"), "protocol": _one_of(*PROTOCOLS)}
    | {"value": _number}
)
TRAINING: dict[str, Check] = _RUN | _HOW | {"step": int, "metric": _text, "value": _number}
FEATURES: dict[str, Check] = _RUN | _WHERE | _HOW | {"place": int, "level": _text, "value": _number}
SENSITIVITY: dict[str, Check] = _RUN | {
    "bits": _one_of(*BITS),
    "layer": _text,
    "kind": _one_of("weights", "activations"),
    "width": int,
    "sqnr_db": _number,
    "psnr_drop_db": _number,
}
DETECTION: dict[str, Check] = _RUN | {
    "detector": _one_of(*(name for names in DETECTORS.values() for name in names)),
    "condition": _one_of("clean", "degraded", "restored", "clean-restored"),
    "method": _method,
    "bits": _one_of(*BITS),
    "engine": _ENGINE,
    "metric": _one_of(*(f"{x}{kind}" for x in ("ap50", "ap") for kind in ("", "_gain", "_to_fp32", "_gain_kept"))),
    **dict.fromkeys(("value", "low", "high"), _number),
    "images": int,
}
LATENCY: dict[str, Check] = {
    "model": _text,
    "precision": _PRECISION,
    "engine": _one_of("openvino", "onnxruntime", "tensorrt"),
    **dict.fromkeys(("threads", "batch", "height", "width"), int),
    **dict.fromkeys(("median_ms", "p90_ms", "p99_ms", "fps", "peak_rss_mib"), _number),
    **dict.fromkeys(("calls", "repeats"), int),
    **dict.fromkeys(("end_to_end_median_ms", "end_to_end_p90_ms", "end_to_end_p99_ms"), _number),
    **dict.fromkeys(("psnr_to_fp32_db", "mean_level"), _number),
}
KERNELS: dict[str, Check] = {
    "model": _text,
    "kernel": _text,
    "kind": _one_of("convolution", "elementwise"),
    **dict.fromkeys(("channels_in", "channels_out"), int),
    **dict.fromkeys(("macs_per_pixel", "bytes_per_pixel"), _number),
    "weight_bytes": int,
}
CENSUS: dict[str, Check] = {
    "model": _text,
    "precision": _PRECISION,
    "engine": _one_of("openvino", "onnxruntime", "tensorrt"),
    "position": int,
    "layer": _text,
    "kind": _text,
    "runs_in": _text,
}
ROOFLINE: dict[str, Check] = {
    "model": _text,
    "precision": _one_of("fp32", "int8"),
    **dict.fromkeys(("threads", "height", "width"), int),
    **dict.fromkeys(("layer", "kind"), _text),
    **dict.fromkeys(("macs", "bytes"), int),
    **dict.fromkeys(("microseconds", "gops", "peak_gops", "share"), _number),
}
STEPS: dict[str, Check] = {"kind": _text, "seconds": _number, "bytes": int, "device": _text, "threads": int}
GRAPH: dict[str, Check] = {
    "task": _one_of(*TASKS),
    "method": _method,
    "bits": _one_of(*BITS),
    "position": int,
    "tensor": _text,
    "kind": _one_of("weights", "activations"),
    "operator": _text,
    "inputs": _text,
    "width": int,
    "granularity": _one_of("channel", "tensor"),
    "scales": int,
    **dict.fromkeys(("scale_min", "scale_median", "scale_max"), _number),
    "shape": _text,
}
# Columns of latency.csv that came later: a file that was written before them lacks them all.
LATER = list(LATENCY)[-5:]
MEASURED = {
    "value",
    "low",
    "high",
    "sqnr_db",
    "psnr_drop_db",
    "delta_psnr_db",
    "max_level",
    "mean_level",
    "high_level",
    "median_ms",
    "p90_ms",
    "p99_ms",
    "fps",
    "peak_rss_mib",
    *("end_to_end_median_ms", "end_to_end_p90_ms", "end_to_end_p99_ms", "psnr_to_fp32_db"),
    *("seconds", "bytes"),
    *("microseconds", "gops", "peak_gops", "share"),
    *("scale_min", "scale_median", "scale_max"),
}


def load(path: Path, schema: dict[str, Check], foreign: bool = False) -> pd.DataFrame:
    """Rows of a CSV as typed columns.

    Args:
        path: of the file.
        schema: its columns, with the check of each.
        foreign: it may be of another version of qdr: of the schema's columns those that it has are read, and names that are
            not known here too.

    Raises:
        QdrError: on a missing file, other columns than the schema's, a bad value or a row that is there twice.
    """
    rows = read_rows(path)
    if not rows:
        raise QdrError(f"{path} has no rows: run `dvc repro`")
    if foreign:
        kept = (_number, int, _RUN["task"])
        schema = {name: check if check in kept else str for name, check in schema.items() if name in rows[0]}
    elif schema is LATENCY and not rows[0].keys() & set(LATER):
        schema = {name: check for name, check in schema.items() if name not in LATER}
    if not foreign and list(rows[0]) != list(schema):
        raise QdrError(f"{path} has columns {','.join(rows[0])}; expected {','.join(schema)}")
    seen: dict[tuple[str, ...], int] = {}
    checks = {name: cache(check) for name, check in schema.items()}  # most columns hold a few values, many times
    typed = []
    for line, row in enumerate(rows, 2):
        key = tuple(str(value) for name, value in row.items() if name not in MEASURED)
        if key in seen:
            raise QdrError(f"{path}, line {line}: the same row as line {seen[key]}, {', '.join(key)}")
        seen[key] = line
        typed.append({name: _checked(path, line, name, row[name], check) for name, check in checks.items()})
    return pd.DataFrame(typed)


def _checked(path: Path, line: int, name: str, text: str | None, check: Check) -> Any:
    try:
        return check(text or "")
    except ValueError as error:
        raise QdrError(f"{path}, line {line}: {name} {text!r} is not valid: {error}") from error


def int8_of(frame: pd.DataFrame) -> str:
    """The INT8 precision that rows of latency have: "int8", or "int8-w7" where 8-bit weights are wrong on the processor."""
    return "int8" if (frame["precision"] == "int8").any() else "int8-w7"


def read_machine(path: Path) -> dict[str, Any]:
    """machine.json: `cpu`, `power`, `threads`, and `peaks`, rates by kind and number of threads."""
    record = read_json(path, cpu=str, power=str, threads=int, peaks=dict)
    for kind in ("int8_gops", "fp32_gops", "cache_gbs", "memory_gbs"):
        check_keys(record["peaks"].get(kind), f"{path}: peaks.{kind}", **{str(record["threads"]): float})
    return record


def read_jetson(path: Path) -> dict[str, Any]:
    """jetson.json: `status`, `reason`, `rows` of engines built here, `imported` what was brought back."""
    record = read_json(path, status=str, reason=str, rows=list)
    times = dict.fromkeys(("median_ms", "p90_ms", "p99_ms", "fps"), float)
    for number, row in enumerate(record["rows"]):
        check_keys(row, f"{path}: rows[{number}]", precision=str, **times)
    if record["status"] == "built":
        check_keys(record, str(path), device=str)
    record = check_keys({"imported": []} | record, str(path), imported=list)
    for number, entry in enumerate(record["imported"]):
        where = f"{path}: imported[{number}]"
        check_keys(entry, where, device=dict, rows=list)
        check_keys(entry["device"], f"{where}.device", **dict.fromkeys(("model", "power_mode", "tensorrt", "l4t"), str))
        for place, row in enumerate(entry["rows"]):
            _check_jetson_row(row, f"{where}.rows[{place}]")
    return record


def _check_jetson_row(row: Any, where: str) -> None:
    kinds = {"task": str, "precision": str, "height": int, "width": int, "fps": float, "benchmarked": bool}
    check_keys(row, where, **kinds, engine_ms=dict, end_to_end_ms=dict, accuracy=dict)
    for key in ("engine_ms", "end_to_end_ms"):
        check_keys(row[key], f"{where}.{key}", **dict.fromkeys(("median", "p90", "p99"), float))
    check_keys(row["accuracy"], f"{where}.accuracy", max_level=int, mean_level=float, psnr_db=float)
    for key in ("power_w", "hottest_c"):  # None where the device has no such sensor
        if row.get(key) is not None or key not in row:
            check_keys(row, where, **{key: float})
