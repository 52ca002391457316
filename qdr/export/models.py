"""Export every model of a task that an engine can run: FP32 files, and Q/DQ files with 8-bit activations."""

from __future__ import annotations

from functools import partial

from onnx import ModelProto

from qdr import paths
from qdr.config import Config
from qdr.errors import QdrError
from qdr.export.check import check_tensorrt
from qdr.export.engines import engine_file, exported
from qdr.export.file import read_onnx
from qdr.export.published import quantize_file
from qdr.export.qdq import Exporter, trace
from qdr.methods import NONE
from qdr.models.zoo import stride
from qdr.processes import side_by_side
from qdr.train.plan import Run, teacher
from qdr.train.run import calibration_images, load_model


def export_all(config: Config) -> None:
    """Write the files of every task: one process traces one architecture, then one process writes one task's files."""
    runs = [run for task in config.tasks for run in exported(config, task) if run.recipe.tool == NONE]
    first = {_architecture(run): run for run in reversed(runs)}
    graphs = side_by_side(partial(_trace, config), list(first.values()), config.threads)
    exporter = Exporter(dict(zip(first, graphs, strict=True)))
    side_by_side(partial(export_task, config, exporter=exporter), config.tasks, config.threads)


def _architecture(run: Run) -> str:
    return f"{run.recipe.model}-{run.recipe.quantized}"


def _trace(config: Config, run: Run) -> ModelProto:
    model = load_model(config, run)
    return trace(model, stride(model))


def export_task(config: Config, task: str, exporter: Exporter) -> None:
    """Write the files of a task, all or none; each must pass TensorRT's rules for explicit quantization."""
    with paths.replacing(paths.engines(task)) as folder:
        folder.mkdir()
        for run in exported(config, task):
            path = folder / engine_file(run).name
            if run.recipe.tool == NONE:
                model = load_model(config, run)
                exporter.write(model, path, _architecture(run), stride(model))
            else:
                source = folder / engine_file(teacher(task, run.recipe.start)).name
                quantize_file(run.recipe.tool, source, path, calibration_images(config, run))
            broken = check_tensorrt(read_onnx(path))
            if broken and run.recipe.tool == NONE:
                raise QdrError(f"{path.name} breaks TensorRT's rules: {'; '.join(broken)}")
