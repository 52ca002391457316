"""The few numbers of a run that `dvc metrics show`, `dvc metrics diff` and `dvc exp show` print, out of results/ alone.

results/<profile>/metrics.json holds quality: per task and test set the mean PSNR of the FP32 models (dB) and the gain that
every model quantized on all images keeps. metrics-speed.json holds the speed-ups over FP32 of the same engine and run; it
is apart so that no quality stage depends on a timing. Rounded as in the tables. Whether a difference means anything is
`qdr compare`'s business.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from qdr.errors import QdrError
from qdr.metrics.recovery import gain_recovery
from qdr.rows import write_json
from qdr.suite.config import BITS
from qdr.suite.report.load import LATENCY, load
from qdr.suite.report.quality import INPUT, Quality, teacher

QUALITY_FILE, SPEED_FILE = "metrics.json", "metrics-speed.json"


def write_quality(results: Path, output: Path) -> None:
    """Write metrics.json, of real images where there are any: task > test set > PSNR or recovery of a model."""
    quality = Quality(results / "quality.csv")
    record: dict[str, Any] = {}
    for task, split in quality.sets(quality.kinds()[0]):
        found = record.setdefault(task, {}).setdefault(split, {})
        for setting in quality.settings(task, BITS):
            if setting.images != "all" or setting == INPUT:
                continue
            psnr, degraded, own = (
                float(quality.values(task, split, "psnr", s).mean()) for s in (setting, INPUT, teacher(setting.method))
            )
            if setting.bits == "FP32":
                found[f"{setting.method} PSNR"] = round(psnr, 2)
            elif math.isfinite(kept := gain_recovery(psnr, own, degraded)):
                found[f"{setting.method} {setting.bits} recovery"] = round(kept, 3)
    write_json(output / QUALITY_FILE, record)


def write_speed(results: Path, output: Path) -> None:
    """Write metrics-speed.json: model > engine > precision > speed_up (2 digits), at the largest side."""
    record: dict[str, Any] = {}
    for (_, model, engine, precision), ratio in speed_ups(load(results / "latency.csv", LATENCY)).items():
        if precision != "fp32":
            record.setdefault(model, {}).setdefault(engine, {})[precision] = {"speed_up": round(ratio, 2)}
    write_json(output / SPEED_FILE, record)


def speed_ups(frame: pd.DataFrame) -> dict[tuple[int, str, str, str], float]:
    """Median latency of FP32 over that of a case in the same engine and run: by side, model, engine and precision.

    Raises:
        QdrError: when a case has no FP32 row.
    """
    columns = ["height", "model", "engine", "precision", "median_ms"]
    times = {tuple(case): time for *case, time in frame[columns].itertuples(index=False, name=None)}
    found = {}
    for (side, model, engine, precision), time in times.items():
        if (side, model, engine, "fp32") not in times:
            remedy = "over which speed-ups are: run `dvc repro bench`"
            raise QdrError(f"latency.csv has no fp32 row of {model} in {engine}, {remedy}")
        found[side, model, engine, precision] = times[side, model, engine, "fp32"] / time
    return found
