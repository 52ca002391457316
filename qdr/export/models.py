"""Export every model of a task that an engine can run: FP32 files and W8A8 Q/DQ files."""

from __future__ import annotations

from pathlib import Path

from qdr import paths
from qdr.config import Config
from qdr.errors import QdrError
from qdr.export.check import check_tensorrt
from qdr.export.qdq import Exporter, read_onnx
from qdr.models.zoo import build_model
from qdr.train.methods import Run, plan
from qdr.train.run import load_model

ENGINE_BITS = ("FP32", "W8A8")


def engine_file(run: Run) -> Path:
    """The exported file of a run."""
    return paths.engines(run.task) / f"{run.name}.onnx"


def exported(config: Config, task: str) -> list[Run]:
    """The runs of a task that have a file: the widths engines execute."""
    return [run for run in plan(config, task) if run.bits in ENGINE_BITS]


def export_task(config: Config, task: str) -> None:
    """Write the files of a task, all or none; each must pass TensorRT's rules for explicit quantization."""
    exporter = Exporter()
    with paths.replacing(paths.engines(task)) as folder:
        folder.mkdir()
        for run in exported(config, task):
            path = folder / engine_file(run).name
            stride = build_model(run.recipe.architecture, config.model).stride
            exporter.write(load_model(config, run), path, f"{run.recipe.architecture}-{run.bits}", stride)
            broken = check_tensorrt(read_onnx(path))
            if broken:
                raise QdrError(f"{path.name} breaks TensorRT's rules: {'; '.join(broken)}")
