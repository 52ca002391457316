"""Latency of the exported models: every engine and precision in processes of its own.

Protocol: batch, side, threads, warm-up and call counts come from the profile. Each case (model, engine, precision) is
timed in a fresh process, one runtime per process, because one runtime's waiting threads slow down the next. The cases
take turns, `repeats` times over, so that a slow minute of the machine meets all of them; each figure pools its calls.
A call is one `run` from a float image in memory to a float image in memory. Ratios within one file are meaningful;
single figures of a shared machine vary by 15 %.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from qdr import paths, provenance
from qdr.config import BenchConfig, Config
from qdr.errors import QdrError
from qdr.export.models import engine_file
from qdr.rows import write_json, write_rows
from qdr.train.plan import Run, plan, teacher


@dataclass(frozen=True)
class Case:
    """One row of the latency table."""

    model: str
    precision: str
    engine: str
    path: str


@dataclass
class Timing:
    """Every timed call of a case, and the largest memory of its processes."""

    milliseconds: list[float] = field(default_factory=list)
    peak_rss_mib: float = 0.0


def bench(config: Config) -> None:
    """Write results/latency.csv, the machine beside it in latency.json, and every single call in work/latency."""
    taken = measure(cases(config), config.bench)
    write_rows(paths.calls(), [row for case, timing in taken.items() for row in _calls(case, timing)])
    write_rows(
        paths.results(config.profile) / "latency.csv", [summarize(case, config.bench, t) for case, t in taken.items()]
    )
    about = provenance.collect(config.profile, [], config.bench.threads)
    write_json(paths.results(config.profile) / "latency.json", about)


def cases(config: Config) -> list[Case]:
    """FP32, bf16 and INT8 in OpenVINO, FP32 and INT8 in ONNX Runtime; in OpenVINO alone the EFM without gates where it is
    trained, and the networks that the profile lists.
    """
    task = config.bench.task
    fp32 = str(engine_file(Run(task, "fp32", "FP32", "all", 0)))
    int8 = str(engine_file(Run(task, "qdr", "W8A8", "all", 0)))
    listed = [Case("efm", precision, "openvino", path) for precision, path in _precisions(fp32, int8, bf16=True)]
    listed += [Case("efm", precision, "onnxruntime", path) for precision, path in _precisions(fp32, int8, bf16=False)]
    bare = [Run(task, "fp32-no-ldg", "FP32", "all", 0), Run(task, "qdr-no-ldg", "W8A8", "all", 0)]
    fp32, int8 = (str(engine_file(run)) for run in bare)
    if Path(fp32).is_file() and Path(int8).is_file():
        listed += [Case("efm-no-ldg", precision, "openvino", path) for precision, path in _precisions(fp32, int8, bf16=True)]
    planned = [run for run in plan(config, task) if run.bits == "W8A8" and run.images == "all"]
    for model in config.bench.models:
        run = next(run for run in planned if run.recipe.model == model)  # every method of a network runs the same graph
        fp32, int8 = str(engine_file(teacher(task, run.recipe.start))), str(engine_file(run))
        listed += [Case(model, precision, "openvino", path) for precision, path in _precisions(fp32, int8, bf16=True)]
    return listed


def measure(listed: list[Case], settings: BenchConfig) -> dict[Case, Timing]:
    """Time the cases in turn."""
    taken = {case: Timing() for case in listed}
    for case in track(listed * settings.repeats, "latency"):
        answer = _time(case, settings)
        taken[case].milliseconds += answer["milliseconds"]
        taken[case].peak_rss_mib = max(taken[case].peak_rss_mib, answer["peak_rss_mib"])
    return taken


def _precisions(fp32: str, int8: str, bf16: bool) -> list[tuple[str, str]]:
    return [("fp32", fp32), *([("bf16", fp32)] if bf16 else []), ("int8", int8)]


def _time(case: Case, settings: BenchConfig) -> dict[str, Any]:
    request = json.dumps(asdict(case) | asdict(settings))
    done = subprocess.run(
        [sys.executable, "-m", "qdr.bench.worker", request], capture_output=True, text=True, cwd=paths.project_root()
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise QdrError(f"timing {case.engine} {case.precision} of {Path(case.path).name} failed: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _calls(case: Case, timing: Timing) -> list[dict[str, Any]]:
    about = {"model": case.model, "precision": case.precision, "engine": case.engine}
    return [about | {"call": i, "ms": f"{ms:.4f}"} for i, ms in enumerate(timing.milliseconds)]


def summarize(case: Case, settings: BenchConfig, timing: Timing) -> dict[str, Any]:
    """The row of a case in results/latency.csv."""
    median, p90, p99 = np.percentile(timing.milliseconds, [50, 90, 99])
    return {
        "model": case.model,
        "precision": case.precision,
        "engine": case.engine,
        "threads": settings.threads,
        "batch": settings.batch,
        "height": settings.side,
        "width": settings.side,
        "median_ms": f"{median:.4f}",
        "p90_ms": f"{p90:.4f}",
        "p99_ms": f"{p99:.4f}",
        "fps": f"{settings.batch * 1000 / median:.2f}",
        "peak_rss_mib": f"{timing.peak_rss_mib:.1f}",
        "calls": settings.calls * settings.repeats,
        "repeats": settings.repeats,
    }
