"""The few numbers of a run that `dvc metrics show`, `dvc metrics diff` and `dvc exp show` print, out of results/ alone.

results/<profile>/metrics.json holds quality: per task and test set the mean PSNR of every model trained on all images (dB)
and the gain it keeps. results/<profile>/metrics-speed.json holds the speed-ups over FP32 of the same engine and run; it is
apart so that no quality stage depends on a timing. Rounded as in the tables. Whether a difference means anything is
`qdr compare`'s business.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from qdr.config import BITS
from qdr.metrics.recovery import gain_recovery
from qdr.report.load import LATENCY, load
from qdr.report.quality import FP32, INPUT, Quality, teacher
from qdr.rows import write_json

QUALITY_FILE, SPEED_FILE = "metrics.json", "metrics-speed.json"


def write_quality(results: Path, output: Path) -> None:
    """Write metrics.json: task > test set > method > width > psnr (dB, 2 digits) and recovery (3 digits)."""
    quality = Quality(results / "quality.csv")
    record: dict[str, Any] = {}
    for kind in quality.kinds():
        for task, split in quality.sets(kind):
            degraded, base = (float(quality.values(task, split, "psnr", s).mean()) for s in (INPUT, FP32))
            methods = record.setdefault(task, {}).setdefault(split, {"input": {"FP32": {"psnr": round(degraded, 2)}}})
            for setting in quality.settings(task, BITS):
                if setting.images != "all" or setting == INPUT:
                    continue
                psnr = float(quality.values(task, split, "psnr", setting).mean())
                own = quality.values(task, split, "psnr", teacher(setting.method))
                entry = {"psnr": round(psnr, 2)}
                if setting.bits != "FP32":
                    kept = gain_recovery(psnr, float(own.mean()) if len(own) else base, degraded)
                    entry |= {"recovery": round(kept, 3)} if math.isfinite(kept) else {}
                methods.setdefault(setting.method, {})[setting.bits] = entry
    write_json(output / QUALITY_FILE, record)


def write_speed(results: Path, output: Path) -> None:
    """Write metrics-speed.json: model > engine > precision > speed_up (2 digits)."""
    frame = load(results / "latency.csv", LATENCY)
    record: dict[str, Any] = {}
    base = {
        (row["model"], row["engine"]): row["median_ms"] for row in frame[frame["precision"] == "fp32"].to_dict("records")
    }
    for row in frame[frame["precision"] != "fp32"].to_dict("records"):
        model, engine = str(row["model"]), str(row["engine"])
        if (model, engine) in base:
            entry = {"speed_up": round(float(base[model, engine]) / float(row["median_ms"]), 2)}
            record.setdefault(model, {}).setdefault(engine, {})[str(row["precision"])] = entry
    write_json(output / SPEED_FILE, record)
