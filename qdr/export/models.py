"""Export every model of a task that an engine can run: FP32 files, and Q/DQ files with 8-bit activations."""

from __future__ import annotations

from pathlib import Path

from qdr import paths
from qdr.config import Config
from qdr.errors import QdrError
from qdr.export.check import check_tensorrt
from qdr.export.published import quantize_file
from qdr.export.qdq import Exporter, read_onnx
from qdr.methods import NONE
from qdr.models.zoo import stride
from qdr.train.plan import Run, plan, teacher
from qdr.train.run import calibration_images, load_model

ENGINE_BITS = ("FP32", "W8A8", "W7A8", "W4A8")  # 4-bit weights are small integers to an INT8 engine


def engine_file(run: Run) -> Path:
    """The exported file of a run."""
    return paths.engines(run.task) / f"{run.name}.onnx"


def exported(config: Config, task: str) -> list[Run]:
    """The runs of a task that have a file: the widths engines execute."""
    return [run for run in plan(config, task) if run.bits in ENGINE_BITS]


def export_all(config: Config) -> None:
    """Write the files of every task."""
    exporter = Exporter()
    for task in config.tasks:
        export_task(config, task, exporter)


def export_task(config: Config, task: str, exporter: Exporter) -> None:
    """Write the files of a task, all or none; each must pass TensorRT's rules for explicit quantization."""
    with paths.replacing(paths.engines(task)) as folder:
        folder.mkdir()
        for run in exported(config, task):
            path = folder / engine_file(run).name
            if run.recipe.tool == NONE:
                model = load_model(config, run)
                exporter.write(model, path, f"{run.recipe.model}-{run.recipe.quantized}", stride(model))
            else:
                source = folder / engine_file(teacher(task, run.recipe.start)).name
                quantize_file(run.recipe.tool, source, path, calibration_images(config, run))
            broken = check_tensorrt(read_onnx(path))
            if broken and run.recipe.tool == NONE:
                raise QdrError(f"{path.name} breaks TensorRT's rules: {'; '.join(broken)}")
