"""Quality rows: every model on every test image, measured on the 8-bit image its engine puts out.

FP32 models and those with 8-bit activations run from their exported files, in the first engine that is right on this
processor (`qdr.runtimes.verify`: OpenVINO where it is); the rows name it. The others run as fake quantization, because no
engine here executes fewer bits; their rows say so. The degraded input has its own (`input`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdr.metrics.protocol import PROTOCOL, protocol
from qdr.metrics.psnr import psnr
from qdr.metrics.ssim import ssim
from qdr.rows import write_rows
from qdr.runtimes.session import Session, restore
from qdr.runtimes.torch_eager import TorchSession
from qdr.runtimes.verify import open_right
from qdr.suite import paths
from qdr.suite.config import SCENES, Config
from qdr.suite.data.loader import PairSet
from qdr.suite.data.tasks import card
from qdr.suite.export.engines import ENGINE_BITS, engine_file
from qdr.suite.train.plan import Run, plan
from qdr.suite.train.run import load_model

METRICS = {"psnr": psnr, "ssim": ssim}
INPUT_BITS = "FP32"
Image = NDArray[np.uint8]


def open_run(config: Config, run: Run) -> Session:
    """The engine that a run's quality is measured on, shown to compute what its file says."""
    if run.bits not in ENGINE_BITS:
        return TorchSession(load_model(config, run), "fake-quant")
    precision = "int8" if run.recipe.quantized else "fp32"
    return open_right(engine_file(run), precision, config.threads)


def test_sets(config: Config, task: str) -> dict[str, PairSet]:
    """The test splits of a task by name, the one that figures show first."""
    splits = [entry.source for entry in config.data.test[task]] + [SCENES] * (config.data.scenes.heldout > 0)
    return {split: PairSet.load(task, split) for split in splits}


def evaluate(config: Config, task: str) -> None:
    """Write the quality rows of a task."""
    rows = list(_rows(config, task, test_sets(config, task)))
    write_rows(paths.rows("quality", task), rows)


def _rows(config: Config, task: str, sets: dict[str, PairSet]) -> Iterator[dict[str, Any]]:
    images = [(split, pairs, i) for split, pairs in sets.items() for i in range(len(pairs.names))]
    about = {"method": "input", "bits": INPUT_BITS, "images": "all", "seed": 0, "engine": "none"}
    for split, pairs, i in images:
        where = {"profile": config.profile, "task": task, "split": split, "image": pairs.names[i]}
        yield from _measure(where | about, pairs.inputs[i], pairs.targets[i])
    for run in plan(config, task):
        session = open_run(config, run)
        about = {"method": run.method, "bits": run.bits, "images": run.images, "seed": run.seed, "engine": session.name}
        for split, pairs, i in images:
            where = {"profile": config.profile, "task": task, "split": split, "image": pairs.names[i]}
            yield from _measure(where | about, restore(session, pairs.inputs[i]), pairs.targets[i])
        session.close()


def _measure(about: dict[str, Any], restored: Image, target: Image) -> Iterator[dict[str, Any]]:
    for name, (metric, compute) in product(protocols(about["split"]), METRICS.items()):
        value = compute(restored, target, protocol(name))
        yield about | {"metric": metric, "protocol": name, "value": f"{value:.6f}"}


def protocols(split: str) -> list[str]:
    """How the images of a split are compared: our protocol, and the field's habit where it is another."""
    habit = PROTOCOL if split == SCENES else card(split).protocol
    return list(dict.fromkeys([PROTOCOL, habit or PROTOCOL]))
