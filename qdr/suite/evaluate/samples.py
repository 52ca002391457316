"""Pictures for the figures: one photograph per task as each method restores it, and where LDG's gates open.

Written as small PNG files beside the CSV, because a grid of images cannot be drawn from numbers. The W8A8 images come
from the INT8 engine. The gate maps come from the FP32 model; they are stored as 8-bit grey, 0 to 255 for g in (0, 1).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from qdr import files
from qdr.images.tensor import to_tensor
from qdr.models.efm import EFM
from qdr.models.ldg import DegradationGate
from qdr.runtimes.session import restore
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.data.loader import PairSet
from qdr.suite.evaluate import SHOWN
from qdr.suite.evaluate.restore import open_run, test_sets
from qdr.suite.train.plan import Run, plan
from qdr.suite.train.run import load_model

SIDE = 160


def write_samples(config: Config, task: str) -> None:
    """Write results/samples/<task> and results/gates/<task>."""
    pairs = next(iter(test_sets(config, task).values()))
    index = config.tasks.index(task) % len(pairs.names)
    top, left = (max(0, (size - SIDE) // 2) for size in pairs.inputs[index].shape[:2])
    window = (slice(top, top + SIDE), slice(left, left + SIDE))
    with files.replacing(paths.samples(config.profile, task)) as folder:
        folder.mkdir()
        _save(folder / "input.png", pairs.inputs[index][window])
        _save(folder / "target.png", pairs.targets[index][window])
        for run in _shown(config, task):
            session = open_run(config, run)
            _save(folder / f"{run.method}.png", restore(session, pairs.inputs[index])[window])
            session.close()
    with files.replacing(paths.gates(config.profile, task)) as folder:
        folder.mkdir()
        _save(folder / "input.png", pairs.inputs[index])
        _save(folder / "truth.png", pairs.truth(pairs.names[index]))
        for level, gate in enumerate(gate_maps(config, task, pairs, index)):
            _save(folder / f"gate{level}.png", np.rint(gate * 255).astype(np.uint8))


def gate_maps(config: Config, task: str, pairs: PairSet, index: int) -> list[NDArray[np.float32]]:
    """LDG's gate maps [h, w] in (0, 1) for one image, one per place, of the FP32 model."""
    model = load_model(config, Run(task, "fp32", "FP32", "all", 0))
    assert isinstance(model, EFM)
    maps: list[NDArray[np.float32]] = []
    hooks = []
    for gate in model.gates:
        if isinstance(gate, DegradationGate):
            hooks.append(gate.register_forward_pre_hook(lambda module, x: maps.append(module.gate(x[0])[0, 0].numpy())))
    with torch.no_grad():
        model(to_tensor(pairs.inputs[index]))
    for hook in hooks:
        hook.remove()
    return maps


def _shown(config: Config, task: str) -> list[Run]:
    runs = [Run(task, method, bits, "all", 0) for method, bits in SHOWN.items()]
    return [run for run in runs if run in plan(config, task)]


def _save(path: Path, image: NDArray[np.uint8]) -> None:
    Image.fromarray(image).save(path, compress_level=9)
