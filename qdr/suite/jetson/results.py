"""What a Jetson measured, brought back: a result file is checked and its rows join results/<profile>/jetson.json.

The stage `jetson` writes the same file on this machine and keeps what stands under "imported", so nothing brought back
is lost where there is no GPU. One module in one power mode with one TensorRT has one entry: a newer result replaces it.

The checksum in a result guards against slips and damage, not against forgery.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdr.errors import QdrError
from qdr.rows import check_keys, read_json, write_json
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.jetson.bundle import GATES, RULES, checksums, models, read_manifest
from qdr.suite.jetson.measure import SCHEMA, digest
from qdr.suite.strict import build

Json = dict[str, Any]


@dataclass(frozen=True)
class Times:
    """Milliseconds of one image."""

    median: float
    p90: float
    p99: float
    min: float
    max: float


@dataclass(frozen=True)
class Accuracy:
    """Against the reference, the worst of the images: grey levels and dB."""

    images: int
    max_level: int
    mean_level: float
    psnr_db: float


def import_result(config: Config, source: Path, bundle: Path | None) -> list[Json]:
    """Check a result file and add its rows to results/<profile>/jetson.json; return the rows.

    `bundle` is the archive it came from; without it the engines of this project must be the ones that were measured.

    Raises:
        QdrError: when the file is damaged, of another profile, schema or model, or holds values that cannot be.
    """
    result = read_json(source)
    device = check(result, source)
    if result["profile"] != config.profile:
        raise QdrError(f"{source} is of profile {result['profile']!r}, the active one is {config.profile!r}: use --profile")
    expected = _expected(config, result, source, bundle)
    measured = [case for case in result["cases"] if case.get("status") == "measured"]
    rows = [_row(case, result, expected, source) | {"benchmarked": case["task"] == config.bench.task} for case in measured]
    for case in result["cases"]:
        if case["status"] != "measured":
            print(f"qdr: not taken: {case.get('task')} {case.get('precision')}: {case.get('reason')}", file=sys.stderr)
    if not rows:
        raise QdrError(f"{source} has no measured case")
    target = paths.results(config.profile) / "jetson.json"
    entry = {"device": device, "sha256": result["sha256"], "rows": rows}
    same = ("model", "power_mode", "tensorrt")
    others = [kept for kept in imported(target) if any(kept["device"][key] != device[key] for key in same)]
    order = sorted([*others, entry], key=lambda kept: [kept["device"][key] for key in same])
    here = read_json(target) if target.is_file() else {"status": "not built", "reason": "the stage has not run", "rows": []}
    write_json(target, here | {"imported": order})
    return rows


def imported(target: Path) -> list[Json]:
    """The entries that were brought back so far."""
    entries: list[Json] = read_json(target).get("imported", []) if target.is_file() else []
    return entries


def check(result: Json, source: Path) -> Json:
    """Schema, own checksum and device of a result; returns what is kept of the device."""
    if result.get("schema") != SCHEMA:
        raise QdrError(
            f"{source} has schema {result.get('schema')!r}, expected {SCHEMA!r}: measure with a bundle of this version"
        )
    if result.get("sha256") != digest(result):
        raise QdrError(f"{source} was changed after it was written (its checksum differs): copy it from the device again")
    check_keys(result, str(source), profile=str, device=dict, rules=dict, cases=list, manifest_sha256=str, finished=str)
    for number, case in enumerate(result["cases"]):
        check_keys(case, f"{source}: cases[{number}]", status=str)
    device: Json = result["device"]
    kept = {key: device.get(key) for key in ("model", "l4t", "tensorrt", "power_mode")}
    for key, value in kept.items():
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 80:
            raise QdrError(f"{source}: device.{key} is {value!r}, expected a short text")
    for key, least in RULES.items():
        value = result["rules"].get(key)
        if not isinstance(value, int) or value < least:
            raise QdrError(f"{source}: rules.{key} is {value!r}, at least {least} is asked for")
    return kept | {"clocks_hz": device.get("clocks_hz", {}), "finished": result["finished"]}


def _expected(config: Config, result: Json, source: Path, bundle: Path | None) -> dict[str, str]:
    """The checksum that each model must have."""
    if bundle is None:
        return checksums(models(config))
    manifest, checksum = read_manifest(bundle)
    if checksum != result["manifest_sha256"]:
        raise QdrError(f"{source} was not measured with {bundle}: give the bundle that was on the device")
    files: dict[str, str] = manifest["files"]
    return files


def _row(case: Json, result: Json, expected: dict[str, str], source: Path) -> Json:
    """A measured case as a row, checked."""
    where = f"{source}, {case.get('task')} {case.get('precision')} {case.get('height')}x{case.get('width')}"
    known = expected.get(str(case.get("model")))
    if known is None or case.get("onnx_sha256") != known:
        raise QdrError(f"{where}: the model is not the one exported here: make a new bundle, or give the old one (--bundle)")
    try:
        engine, whole = build(Times, case["engine_ms"]), build(Times, case["end_to_end_ms"])
        accuracy = build(Accuracy, case["accuracy"])
        kinds = {"task": str, "precision": str, "height": int, "width": int, "batch": int, "calls": int, "sensors": dict}
        calls, sensors = (check_keys(case, where, **kinds)[key] for key in ("calls", "sensors"))
        watts, hottest = module_watts(sensors.get("power_mw", {})), _hottest(sensors.get("celsius", {}))
    except (KeyError, TypeError, AttributeError, ValueError, QdrError) as error:
        raise QdrError(f"{where}: {error}") from error
    for name, times in (("engine_ms", engine), ("end_to_end_ms", whole)):
        if not 0 < times.min <= times.median <= times.p90 <= times.p99 <= times.max < 60_000:
            raise QdrError(f"{where}: {name} cannot be: {times}")
    if engine.median > whole.median:
        raise QdrError(
            f"{where}: the engine alone takes longer ({engine.median} ms) than with its copies ({whole.median} ms)"
        )
    if calls < result["rules"]["iterations"]:
        raise QdrError(f"{where}: {calls} calls, the rules ask for {result['rules']['iterations']}")
    if not (0 <= accuracy.mean_level <= accuracy.max_level <= 255 and 0 < accuracy.psnr_db <= 100 and accuracy.images > 0):
        raise QdrError(f"{where}: accuracy cannot be: {accuracy}")
    allowed = GATES.get(case["precision"], 0.0)
    if accuracy.mean_level > allowed:
        raise QdrError(
            f"{where}: {accuracy.mean_level} grey levels off the reference, at most {allowed} are allowed: measure anew"
        )
    about = {key: case[key] for key in ("task", "precision", "height", "width", "batch", "onnx_sha256")}
    return about | {
        "calls": calls,
        "engine_ms": _numbers(engine),
        "end_to_end_ms": _numbers(whole),
        "fps": case["batch"] * 1000 / engine.median,
        "accuracy": vars(accuracy),
        "power_w": watts,
        "hottest_c": hottest,
    }


def module_watts(rails: dict[str, Json]) -> float | None:
    """Power of the module: VDD_IN where there is such a rail (Orin NX, Nano), else the sum of AGX Orin's three.

    >>> module_watts({"VDD_IN": {"mean": 9000.0}, "VDD_SOC": {"mean": 1000.0}})
    9.0
    """
    names = ["VDD_IN"] if "VDD_IN" in rails else ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]
    if any(name not in rails for name in names):
        return None
    return sum(float(rails[name]["mean"]) for name in names) / 1000


def _hottest(celsius: dict[str, Json]) -> float | None:
    return max((float(sensor["max"]) for sensor in celsius.values()), default=None)


def _numbers(times: Times) -> dict[str, float]:
    return {key: getattr(times, key) for key in ("median", "p90", "p99")}
