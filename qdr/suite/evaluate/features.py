"""Where quantization errors grow: per level, how far a quantized network's features are from its FP32 teacher's.

The error of a level is mean |q - f| over one test image, and relative to mean |f|; the last level is the image itself,
restored minus degraded, so that its error is relative to what the network adds. Measured by fake quantization, because
engines do not give out features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from qdr.distill.distances import l1, relative_l1
from qdr.distill.points import BOTTLENECK, Taps, modules_at
from qdr.images.tensor import to_tensor
from qdr.rows import write_rows
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.data.loader import PairSet
from qdr.suite.evaluate.restore import test_sets
from qdr.suite.methods import NONE
from qdr.suite.train.plan import Run, plan
from qdr.suite.train.run import load_model

IMAGES = 4
OUTPUT = "output"
ERRORS = {"relative": relative_l1, "absolute": l1}


def features(config: Config, task: str) -> None:
    """Write the feature-error rows of a task: every quantized model, a few real test images."""
    split, pairs = next(iter(test_sets(config, task).items()))
    runs = [run for run in plan(config, task) if run.recipe.quantized and run.recipe.tool == NONE]
    rows = [row for run in runs for row in _rows(config, run, split, pairs)]
    write_rows(paths.rows("features", task), rows)


def _rows(config: Config, run: Run, split: str, pairs: PairSet) -> Iterator[dict[str, Any]]:
    model, reference = load_model(config, run), load_model(config, run.start)
    about = {"profile": config.profile, "task": run.task, "split": split}
    how = {"method": run.method, "bits": run.bits, "images": run.images, "seed": run.seed}
    for name, image in list(zip(pairs.names, pairs.inputs, strict=True))[:IMAGES]:
        mine, theirs = levels(model, to_tensor(image)), levels(reference, to_tensor(image))
        for place, (level, feature) in enumerate(mine.items()):
            at = about | {"image": name} | how | {"place": place, "level": level}
            for error, distance in ERRORS.items():
                yield at | {"error": error, "value": f"{float(distance(feature, theirs[level])):.6g}"}


def levels(model: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Features by level in the order of the forward pass, then what the network adds to the image.

    A network without a bottleneck has no levels.
    """
    names = modules_at(model, "all") if hasattr(model, BOTTLENECK) or hasattr(model, "parts") else []
    with torch.no_grad(), Taps(model, names) as taps:
        restored = model(image)
    return taps.features | {OUTPUT: restored - image}
