"""Which runs have an exported file, and where it is; imports no torch, so that asking takes no time."""

from __future__ import annotations

from pathlib import Path

from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.train.plan import Run, plan

ENGINE_BITS = ("FP32", "W8A8", "W7A8", "W4A8")  # 4-bit weights are small integers to an INT8 engine


def engine_file(run: Run) -> Path:
    """The exported file of a run."""
    return paths.engines(run.task) / f"{run.name}.onnx"


def exported(config: Config, task: str) -> list[Run]:
    """The runs of a task that have a file: the widths engines execute."""
    return [run for run in plan(config, task) if run.bits in ENGINE_BITS]
