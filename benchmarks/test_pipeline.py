"""What surrounds training and engines: batches, starting a command, imports, tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.references import Check, copy, start
from qdr.suite import config, paths
from qdr.suite.data.loader import PairSet
from qdr.suite.report import tables

PLAN = (
    "from qdr.suite import config as c; from qdr.suite.train.plan import plan; s = c.load(); [plan(s, t) for t in s.tasks]"
)
HELP = "import sys; from qdr.cli import main; sys.argv[1:] = ['--help']; main()"
ROOMS = [
    ("training", "qdr.suite.train.run", 5),
    ("report", "qdr.suite.report.tables, qdr.suite.report.figures", 4),
    ("OpenVINO", "qdr.runtimes.openvino", 10),
    ("ONNX Runtime", "qdr.runtimes.ort", 10),
]


def test_batches(perf: Check) -> None:
    """Patches of the training schedule from images in memory."""
    rng, schedule = np.random.default_rng(0), config.load().tune
    images = [rng.integers(0, 256, (256, 256, 3), np.uint8) for _ in range(16)]
    pairs = PairSet(Path("memory"), [str(i) for i in range(16)], images, images)
    perf("data: 8 batches", lambda: list(pairs.batches(8, schedule.batch, schedule.patch, 0)), copy(), 60)


@pytest.mark.parametrize(
    ("name", "code"), [("qdr --help", HELP), ("import qdr.cli", "import qdr.cli"), ("configuration and plan", PLAN)]
)
def test_start(perf: Check, name: str, code: str) -> None:
    perf(f"start: {name}", start(code), start(), 25)


@pytest.mark.parametrize(("name", "modules", "rounds"), ROOMS)
def test_import(perf: Check, name: str, modules: str, rounds: int) -> None:
    perf(f"import: {name}", start(f"import {modules}"), start(times=5), rounds)


def test_tables(perf: Check, tmp_path: Path) -> None:
    """Every quality table of results/embedded, with fewer resamples than the paper's."""
    settings = config.load(config.profile_path("embedded"))
    settings = dataclasses.replace(settings, stats=dataclasses.replace(settings.stats, resamples=500))
    results = paths.results("embedded")
    perf("report: tables", lambda: tables.write_quality(settings, results, tmp_path), start(times=5), 5)
