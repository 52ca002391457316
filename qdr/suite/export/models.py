"""Export every model of a task that an engine can run: FP32 files, and Q/DQ files with 8-bit activations."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial

from onnx import ModelProto
from rich.console import Console
from rich.progress import track

from qdr import files
from qdr.errors import QdrError
from qdr.export.check import check_tensorrt
from qdr.export.conformance import Verdict, examine
from qdr.export.file import read_onnx
from qdr.export.qdq import Exporter, trace
from qdr.models.blocks import stride
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.export.engines import engine_file, exported
from qdr.suite.export.published import quantize_file
from qdr.suite.methods import NONE
from qdr.suite.processes import side_by_side
from qdr.suite.train.plan import Run
from qdr.suite.train.run import calibration_images, load_model


def export_all(config: Config) -> None:
    """Write the files of every task: one process traces one architecture, then one process writes one task's files."""
    runs = [run for task in config.tasks for run in exported(config, task) if run.recipe.tool == NONE]
    first = {_architecture(run): run for run in reversed(runs)}
    graphs = side_by_side(partial(_trace, config), list(first.values()), config.threads)
    exporter = Exporter(dict(zip(first, graphs, strict=True)))
    side_by_side(partial(export_task, config, exporter=exporter), config.tasks, config.threads)


def _architecture(run: Run) -> str:
    """What has one graph, whatever its numbers."""
    recipe = run.recipe
    return f"{recipe.model}-{recipe.quantized}-{recipe.additions}"


def _trace(config: Config, run: Run) -> ModelProto:
    model = load_model(config, run)
    return trace(model, stride(model))


def export_task(config: Config, task: str, exporter: Exporter) -> None:
    """Write the files of a task, all or none; each must pass TensorRT's rules for explicit quantization."""
    with files.replacing(paths.engines(task)) as folder:
        folder.mkdir()
        for run in exported(config, task):
            path = folder / engine_file(run).name
            if run.recipe.tool == NONE:
                model = load_model(config, run)
                exporter.write(model, path, _architecture(run), stride(model))
            else:
                source = folder / engine_file(run.start).name
                quantize_file(run.recipe.tool, source, path, calibration_images(config, run))
            broken = check_tensorrt(read_onnx(path))
            if broken and run.recipe.tool == NONE:
                raise QdrError(f"{path.name} breaks TensorRT's rules: {'; '.join(broken)}")


def examine_all(config: Config) -> list[Verdict]:
    """The verdict on every file of work/engines.

    Raises:
        QdrError: when there is no file.
    """
    files = [path for task in config.tasks for path in sorted(paths.engines(task).glob("*.onnx"))]
    if not files:
        raise QdrError("work/engines holds no file: export first (`dvc repro export`)")
    published = {engine_file(run) for task in config.tasks for run in exported(config, task) if run.recipe.tool != NONE}
    shown = track(files, "check", console=Console(stderr=True), disable=not sys.stderr.isatty())
    return [replace(examine(path), published=path in published) for path in shown]
