"""Read results/ and refuse what does not fit its schema (results/README.md), naming file, line and value.

A column has one kind of value in every file: `COLUMNS` says which, and a file is a list of column names, with what it
narrows. A kind is `float` (finite), `int`, `str` (not empty), names to choose from or a function that gives them, or a
pattern.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
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

Kind = type | tuple[str, ...] | re.Pattern[str] | Callable[[], Iterable[str]]
Schema = dict[str, Kind]

ENGINES = ("openvino", "onnxruntime", "tensorrt")
PRECISIONS = ("fp32", "bf16", "int8", "int8-w7")
IMAGES = re.compile(r"all|[1-9]\d*")  # how many training images
INTEGERS = (
    "seed step place position width height batch threads calls repeats max_level channels_in channels_out weight_bytes "
    "scales macs bytes parameters"
)
NUMBERS = (
    "value low high sqnr_db psnr_drop_db delta_psnr_db mean_level high_level median_ms p90_ms p99_ms fps peak_rss_mib "
    "end_to_end_median_ms end_to_end_p90_ms end_to_end_p99_ms psnr_to_fp32_db macs_per_pixel bytes_per_pixel seconds "
    "microseconds gops peak_gops share scale_min scale_median scale_max"
)


def _sources() -> tuple[str, ...]:
    return (SCENES, *_manifest(paths.manifest()))


@cache
def _manifest(path: Path) -> tuple[str, ...]:
    return tuple(read_json(path))


COLUMNS: Schema = {
    **dict.fromkeys(INTEGERS.split(), int),
    **dict.fromkeys(NUMBERS.split(), float),
    "task": TASKS,
    "split": _sources,
    "method": catalogue,
    "bits": BITS,
    "images": IMAGES,
    "protocol": tuple(PROTOCOLS),
    "engine": ("none", *ENGINES, "exact", "fake-quant", "torch"),
    "reference": ("none", *ENGINES, "exact", "fake-quant", "torch"),
    "verdict": ("right", "wrong"),
    "precision": PRECISIONS,
    "detector": tuple(name for names in DETECTORS.values() for name in names),
    "condition": ("clean", "degraded", "restored", "clean-restored"),
    "granularity": ("channel", "tensor"),
}


def _schema(columns: str, **narrowed: Kind) -> Schema:
    """Kinds by name; a column that `COLUMNS` does not list is text."""
    return {name: narrowed.get(name, COLUMNS.get(name, str)) for name in columns.split()}


_HOW = "method bits images seed"
_PARTS = ("weights", "activations")
QUALITY = _schema(f"profile task split image {_HOW} engine metric protocol value", metric=("psnr", "ssim"))
PARITY = _schema(f"profile task split image {_HOW} reference engine delta_psnr_db max_level mean_level")
NUMERICS = _schema(f"profile task {_HOW} engine verdict mean_level high_level")
PACKAGED = _schema("profile task split image bits engine metric protocol value", bits=("input", *BITS), metric=("psnr",))
TRAINING = _schema(f"profile task {_HOW} step metric value")
FEATURES = _schema(f"profile task split image {_HOW} place level error value", error=("relative", "absolute"))
CONFLICT = _schema("profile task method bits stage pair batch value", stage=("start", "end"))
SENSITIVITY = _schema("profile task bits layer kind width sqnr_db psnr_drop_db", kind=_PARTS)
DETECTION = _schema(
    "profile task detector condition method bits engine metric value low high images",
    metric=tuple(f"{of}{kind}" for of in ("ap50", "ap") for kind in ("", "_gain", "_to_fp32", "_gain_kept")),
    images=int,
)
# Columns of latency.csv that came later: a file that was written before them lacks them all.
LATER = ["end_to_end_median_ms", "end_to_end_p90_ms", "end_to_end_p99_ms", "psnr_to_fp32_db", "mean_level"]
LATENCY = _schema(
    "model precision engine threads batch height width median_ms p90_ms p99_ms fps peak_rss_mib calls repeats "
    + " ".join(LATER),
    engine=ENGINES,
)
KERNELS = _schema(
    "model kernel kind channels_in channels_out macs_per_pixel bytes_per_pixel weight_bytes",
    kind=("convolution", "elementwise"),
)
COSTS = _schema("model height width parameters macs")
CENSUS = _schema("model precision engine position layer kind runs_in", engine=ENGINES)
ROOFLINE = _schema(
    "model precision threads height width layer kind macs bytes microseconds gops peak_gops share",
    precision=("fp32", "int8"),
)
STEPS = _schema("kind seconds bytes device threads")
GRAPH = _schema(
    "task method bits position tensor kind operator inputs width granularity scales scale_min scale_median scale_max shape",
    kind=_PARTS,
)
MEASURED = {*NUMBERS.split(), "max_level", "bytes"} - {"macs_per_pixel", "bytes_per_pixel"}  # not what a row is about


def load(path: Path, schema: Schema, foreign: bool = False) -> pd.DataFrame:
    """Rows of a CSV as typed columns.

    Args:
        path: of the file.
        schema: its columns, with the kind of each.
        foreign: it may be of another version of qdr: of the schema's columns those that it has are read, and names that are
            not known here too.

    Raises:
        QdrError: on a missing file, other columns than the schema's, a bad value or a row that is there twice.
    """
    rows = read_rows(path)
    if not rows:
        raise QdrError(f"{path} has no rows: run `dvc repro`")
    if foreign:
        kept = (float, int, TASKS)
        schema = {name: kind if kind in kept else str for name, kind in schema.items() if name in rows[0]}
    elif schema is LATENCY and not rows[0].keys() & set(LATER):
        schema = {name: kind for name, kind in schema.items() if name not in LATER}
    if not foreign and list(rows[0]) != list(schema):
        raise QdrError(f"{path} has columns {','.join(rows[0])}; expected {','.join(schema)}")
    seen: dict[tuple[str, ...], int] = {}
    for line, row in enumerate(rows, 2):
        key = tuple(row[name] for name in row if name not in MEASURED)
        if seen.setdefault(key, line) != line:
            raise QdrError(f"{path}, line {line}: the same row as line {seen[key]}, {', '.join(key)}")
    return pd.DataFrame({name: _typed(path, name, [row[name] for row in rows], kind) for name, kind in schema.items()})


def _typed(path: Path, name: str, column: list[str], kind: Kind) -> list[Any]:
    """The values of a column; most hold few different ones, each of which is checked once."""
    values = {}
    for text in dict.fromkeys(column):
        try:
            values[text] = _value(text, kind)
        except ValueError as error:
            where = f"{path}, line {column.index(text) + 2}"
            raise QdrError(f"{where}: {name} {text!r} is not valid: {error}") from error
    return [values[text] for text in column]


def _value(text: str, kind: Kind) -> Any:
    """The value of a field.

    Raises:
        ValueError: when it is not of that kind.
    """
    if kind is float:
        if not math.isfinite(value := float(text)):
            raise ValueError("must be finite")
        return value
    if kind is int:
        return int(text)
    if kind is str:
        if not text:
            raise ValueError("must not be empty")
    elif isinstance(kind, re.Pattern):
        if not kind.fullmatch(text):
            raise ValueError(f"must be {kind.pattern}")
    else:
        names = kind if isinstance(kind, tuple) else tuple(kind())
        name = text.partition("@")[0] if kind is catalogue else text  # of a varied method `qdr@weight=4` the method
        if name not in names:
            raise ValueError(nearest(name, names))
    return text


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
    record = {"imported": []} | read_json(path, status=str, reason=str, rows=list)
    check_keys(record, str(path), imported=list, **({"device": str} if record["status"] == "built" else {}))
    times = dict.fromkeys(("median_ms", "p90_ms", "p99_ms", "fps"), float)
    for number, row in enumerate(record["rows"]):
        check_keys(row, f"{path}: rows[{number}]", precision=str, **times)
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
