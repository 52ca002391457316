"""Gather the rows of all tasks into results/: the tidy CSV that tables and figures are drawn from.

quality.csv, parity.csv, numerics.csv, features.csv, conflict.csv and detection.csv join the tasks' rows, sensitivity.csv
is of one task;
training.csv holds the logged metrics in long form, of seeds and subsets of images but the first only the last step;
provenance.json says who made them, and which engines quality came from. Every file is validated when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qdr.rows import read_lines, read_rows, write_json, write_rows
from qdr.suite import paths, provenance
from qdr.suite.config import Config
from qdr.suite.methods import NONE
from qdr.suite.train.plan import Run, plan, run_folder


def collect(config: Config) -> None:
    """Write results/<profile>/*.csv and provenance.json."""
    results = paths.results(config.profile)
    for kind in ("quality", "parity", "numerics", "features", "conflict", "detection"):
        sources = [paths.rows(kind, task) for task in config.tasks]
        rows = [row for source in sources for row in read_rows(source)]
        header = sources[0].read_text(encoding="utf-8").partition("\n")[0].split(",")
        write_rows(results / f"{kind}.csv", rows, header)  # of conflict.csv there are none without QDR
    write_rows(results / "sensitivity.csv", list(read_rows(paths.rows("sensitivity", config.bench.task))))
    runs = [run for task in config.tasks for run in plan(config, task)]
    write_rows(results / "training.csv", [row for run in runs if run.recipe.tool == NONE for row in _training(config, run)])
    about = provenance.collect(config.profile, sorted({run.seed for run in runs}), config.threads)
    write_json(results / "provenance.json", about | {"engines": _engines(results / "quality.csv")})


def _training(config: Config, run: Run) -> Iterator[dict[str, Any]]:
    about = {"profile": config.profile, "task": run.task, "method": run.method, "bits": run.bits}
    about |= {"images": run.images, "seed": str(run.seed)}
    logged = read_lines(run_folder(run) / "metrics.jsonl")
    whole = run.seed == 0 and run.images == "all"
    for entry in logged if whole else logged[-1:]:
        for metric in sorted(entry.keys() - {"step"}):
            yield about | {"step": entry["step"], "metric": metric, "value": f"{entry[metric]:.6g}"}


def _engines(quality: Path) -> dict[str, list[str]]:
    """By bits, the engines that quality was measured in: what this processor computes right decides."""
    found: dict[str, set[str]] = {}
    for row in read_rows(quality, "bits", "engine", "method"):
        if row["method"] != "input":
            found.setdefault(row["bits"], set()).add(row["engine"])
    return {bits: sorted(engines) for bits, engines in sorted(found.items())}
