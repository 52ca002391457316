"""Latency of the exported models: every engine and precision in processes of its own, on a photograph.

Run rules, in full in docs/bench.md:

- One process times one case (model, engine, precision) and loads one runtime, because one runtime's waiting threads slow
  down the next. The cases take turns, `repeats` times over, so that a slow minute of the machine meets all of them.
- After `warmup` calls a process times at least `calls` calls and goes on for at least `seconds`, for every side.
- The input is a crop of the task's test images. A call takes an 8-bit image in memory to an 8-bit image in memory
  (`end_to_end_*`); what of it the engine took, from float to float, is `median_ms` and its percentiles.
- An engine that does not compute what a file says on this processor (`qdr.runtimes.verify`) is not timed: it has no row,
  and latency.json lists it under `wrong`.
- What was timed was also right: all timed outputs of a process are the same, and agree with the file's exact arithmetic
  (`qdr.suite.bench.accuracy`). A mismatch stops the stage and nothing is written.

Ratios within one file are meaningful; single figures of a shared machine vary by 15 %.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from qdr.machine import has_bf16
from qdr.rows import write_json, write_rows
from qdr.runtimes.session import open_session
from qdr.runtimes.verify import verify
from qdr.suite import paths, provenance
from qdr.suite.bench import accuracy, layers, machine
from qdr.suite.bench.images import photograph
from qdr.suite.bench.process import ask
from qdr.suite.config import BenchConfig, Config
from qdr.suite.export.engines import engine_file
from qdr.suite.train.plan import Run, plan


@dataclass(frozen=True)
class Case:
    """One row of the latency table per side. `precision` is "fp32", "bf16", "int8", or "int8-w7" for weights of 7 bits."""

    model: str
    precision: str
    engine: str
    path: str

    @property
    def computes_in(self) -> str:
        """The precision the engine is to run in."""
        return self.precision.partition("-")[0]


@dataclass
class Timing:
    """Every timed call of a case at one side, in milliseconds: the engine alone, and end to end with 8-bit images.

    `peak_rss_mib` is the largest memory of its processes, `mean_level` and `psnr_to_fp32_db` say how right the output was.
    """

    milliseconds: list[float] = field(default_factory=list)
    end_to_end: list[float] = field(default_factory=list)
    peak_rss_mib: float = 0.0
    mean_level: float = 0.0
    psnr_to_fp32_db: float = accuracy.CEILING


Timings = dict[tuple[Case, int], Timing]


def bench(config: Config) -> None:
    """Write latency.csv, census.csv, roofline.csv, machine.json, latency.json in results/, every call in work/latency."""
    wanted, results = cases(config), paths.results(config.profile)
    listed, wrong = judged(wanted, config.bench.threads)
    taken = measure(listed, config)
    write_rows(results / "census.csv", [row for case in listed for row in census_rows(case)])
    peaks = machine.measured(config.bench.threads)
    main = {case.precision: case.path for case in listed if (case.model, case.engine) == ("efm", "openvino")}
    int8 = main.get("int8") or main.get("int8-w7")
    shown = {"fp32": main["fp32"]} | ({"int8": int8} if int8 else {})
    rows = layers.measured(shown, config.bench, peaks)
    write_rows(paths.calls(), [row for (case, side), timing in taken.items() for row in _calls(case, side, timing)])
    summaries = [summarize(case, side, config.bench, timing) for (case, side), timing in taken.items()]
    write_rows(results / "latency.csv", summaries)
    write_rows(results / "roofline.csv", rows)
    write_json(results / "machine.json", peaks)
    about = provenance.collect(config.profile, [], config.bench.threads) | {"power": machine.power_mode()}
    write_json(results / "latency.json", about | {"wrong": wrong})


def cases(config: Config) -> list[Case]:
    """FP32, bf16 and INT8 in OpenVINO, FP32 and INT8 in ONNX Runtime, INT8 with weights of 7 bits where it is exported; in
    OpenVINO alone the EFM without gates where it is trained, and the networks that the profile lists.
    """
    task = config.bench.task
    fp32 = str(engine_file(Run(task, "fp32", "FP32", "all", 0)))
    int8 = str(engine_file(Run(task, "qdr", "W8A8", "all", 0)))
    listed = [Case("efm", precision, "openvino", path) for precision, path in _precisions(fp32, int8, bf16=True)]
    listed += [Case("efm", precision, "onnxruntime", path) for precision, path in _precisions(fp32, int8, bf16=False)]
    narrow = engine_file(Run(task, "qdr", "W7A8", "all", 0))
    if narrow.is_file():
        listed += [Case("efm", "int8-w7", engine, str(narrow)) for engine in ("openvino", "onnxruntime")]
    bare = [Run(task, "fp32-no-ldg", "FP32", "all", 0), Run(task, "qdr-no-ldg", "W8A8", "all", 0)]
    fp32, int8 = (str(engine_file(run)) for run in bare)
    if Path(fp32).is_file() and Path(int8).is_file():
        listed += [Case("efm-no-ldg", precision, "openvino", path) for precision, path in _precisions(fp32, int8, bf16=True)]
    planned = [run for run in plan(config, task) if run.bits == "W8A8" and run.images == "all"]
    for model in config.bench.models:
        run = next(run for run in planned if run.recipe.model == model)  # every method of a network runs the same graph
        fp32, int8 = str(engine_file(run.start)), str(engine_file(run))
        listed += [Case(model, precision, "openvino", path) for precision, path in _precisions(fp32, int8, bf16=True)]
    return listed


def judged(wanted: list[Case], threads: int) -> tuple[list[Case], list[dict[str, str]]]:
    """The cases whose engine computes what the file says on this processor, and a record of each other one."""
    listed, wrong = [], []
    for case in wanted:
        verdict = verify(Path(case.path), case.engine, case.computes_in, threads)
        if verdict.right:
            listed.append(case)
        else:
            about = {"model": case.model, "precision": case.precision, "engine": case.engine}
            wrong.append(about | {"why": str(verdict)})
    return listed, wrong


def measure(listed: list[Case], config: Config) -> Timings:
    """Time the cases in turn and compare what they put out with untimed runs.

    Raises:
        QdrError: when a process fails, or a timed output is not what the file gives.
    """
    settings = config.bench
    sides = sorted(settings.sides)
    taken: Timings = {(case, side): Timing() for case in listed for side in sides}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side in sides:
            np.save(folder / f"{side}.npy", photograph(config, side))
        right = accuracy.expected([case.path for case in listed], sides, settings.threads, folder)
        fp32 = {case.model: case.path for case in listed if case.precision == "fp32"}
        for case in track(listed * settings.repeats, "latency"):
            for answer in _time(case, settings, folder):
                timing, side = taken[case, answer["side"]], answer["side"]
                timing.milliseconds += answer["milliseconds"]
                timing.end_to_end += answer["end_to_end"]
                timing.peak_rss_mib = max(timing.peak_rss_mib, answer["peak_rss_mib"])
                output = np.load(answer["output"])
                level = accuracy.agreement(output, right[case.path, side], case.computes_in, f"{_about(case)} at {side}")
                timing.mean_level = max(timing.mean_level, level)
                likeness = accuracy.likeness(output, right[fp32[case.model], side])
                timing.psnr_to_fp32_db = min(timing.psnr_to_fp32_db, likeness)
    return taken


def census_rows(case: Case) -> list[dict[str, Any]]:
    """Rows of results/census.csv: every layer the case's engine runs."""
    session = open_session(case.engine, Path(case.path), case.computes_in)
    about = {"model": case.model, "precision": case.precision, "engine": case.engine}
    found = session.census()
    session.close()
    return [about | {"position": i, "layer": x.name, "kind": x.kind, "runs_in": x.precision} for i, x in enumerate(found)]


def _precisions(fp32: str, int8: str, bf16: bool) -> list[tuple[str, str]]:
    """bf16 only where the processor has it: elsewhere the engine computes FP32 under that name."""
    return [("fp32", fp32), *([("bf16", fp32)] if bf16 and has_bf16() else []), ("int8", int8)]


def _about(case: Case) -> str:
    return f"timing {case.engine} {case.precision} of {Path(case.path).name}"


def _time(case: Case, settings: BenchConfig, folder: Path) -> list[dict[str, Any]]:
    """One process: what it answers per side (`qdr.suite.bench.worker`)."""
    request = {"case": asdict(case) | {"precision": case.computes_in}, "settings": asdict(settings), "folder": str(folder)}
    answers: list[dict[str, Any]] = ask("qdr.suite.bench.worker", request, _about(case))
    return answers


def _calls(case: Case, side: int, timing: Timing) -> list[dict[str, Any]]:
    about = {"model": case.model, "precision": case.precision, "engine": case.engine, "height": side, "width": side}
    pairs = zip(timing.milliseconds, timing.end_to_end, strict=True)
    return [about | {"call": i, "ms": f"{ms:.4f}", "end_to_end_ms": f"{end:.4f}"} for i, (ms, end) in enumerate(pairs)]


def summarize(case: Case, side: int, settings: BenchConfig, timing: Timing) -> dict[str, Any]:
    """The row of a case and side in results/latency.csv."""
    median, p90, p99 = np.percentile(timing.milliseconds, [50, 90, 99])
    whole = np.percentile(timing.end_to_end, [50, 90, 99])
    return {
        "model": case.model,
        "precision": case.precision,
        "engine": case.engine,
        "threads": settings.threads,
        "batch": 1,
        "height": side,
        "width": side,
        "median_ms": f"{median:.4f}",
        "p90_ms": f"{p90:.4f}",
        "p99_ms": f"{p99:.4f}",
        "fps": f"{1000 / median:.2f}",
        "peak_rss_mib": f"{timing.peak_rss_mib:.1f}",
        "calls": len(timing.milliseconds),
        "repeats": settings.repeats,
        **{f"end_to_end_{name}_ms": f"{ms:.4f}" for name, ms in zip(("median", "p90", "p99"), whole, strict=True)},
        "psnr_to_fp32_db": f"{timing.psnr_to_fp32_db:.3f}",
        "mean_level": f"{timing.mean_level:.4f}",
    }
