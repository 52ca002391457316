"""Do reconstruction and distillation pull against each other? Cosines between their gradients, batch by batch.

The paper says that quantization noise sets the two gradients against each other on the parameters that they share. Here both
gradients are taken on the weights of a quantized student in front of its bottleneck, where Decoder-Free Distillation
reaches, on many batches of training images: at the start, when the student is calibrated, and at the end of QDR's training.
A cosine below zero is a conflict. What two gradients of batches have in common anyway is shown by the cosines between
consecutive batches of one loss, and of one loss with the other's of the next batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr import ranks
from qdr.rows import write_rows
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.methods import recipe
from qdr.suite.train.objective import RECONSTRUCTION, Objective
from qdr.suite.train.plan import Run, plan, run_folder
from qdr.suite.train.run import batches_from, load_model

METHOD, START = "qdr", "ptq"
BATCHES = 8
COLUMNS = ("profile", "task", "method", "bits", "stage", "pair", "batch", "value")
PAIRS = ("both, one batch", "both, two batches", "reconstruction, two batches", "distillation, two batches")


def conflict(config: Config, task: str) -> None:
    """Write the cosines of a task's students of QDR on all images, of the first seed."""
    runs = [run for run in plan(config, task) if run.method == METHOD and run.images == "all" and run.seed == 0]
    rows = []
    for run in runs:
        start = Run(task, START, run.bits, "all", 0)
        for stage, model in (("start", start), ("end", run)):
            if (run_folder(model) / "run.json").is_file():
                rows += list(_rows(config, run, stage, load_model(config, model)))
    write_rows(paths.rows("conflict", task), rows, COLUMNS)


def _rows(config: Config, run: Run, stage: str, model: nn.Module) -> Iterator[dict[str, Any]]:
    objective = Objective(recipe(METHOD), model, load_model(config, run.guide), 1, loss=config.tune.loss)
    source, tune = batches_from(config, run), config.tune
    device = ranks.device()
    model.to(device)
    objective.move(device)
    batches = source.batches(BATCHES, tune.batch, tune.patch, seed=1)
    found = [gradients(objective, model, degraded.to(device), target.to(device)) for degraded, target in batches]
    about = {"profile": config.profile, "task": run.task, "method": run.method, "bits": run.bits, "stage": stage}
    for number, ((a, b), (next_a, next_b)) in enumerate(zip(found, found[1:] + found[:1], strict=True)):
        for pair, (x, y) in zip(PAIRS, ((a, b), (a, next_b), (a, next_a), (b, next_b)), strict=True):
            cosine = float(F.cosine_similarity(x, y, dim=0))
            yield about | {"pair": pair, "batch": number, "value": f"{cosine:.6f}"}


def gradients(objective: Objective, model: nn.Module, degraded: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of reconstruction and of distillation, on the weights that both reach, [numel] each."""
    losses, _ = objective.losses(model, degraded, target)
    reconstruction = losses.pop(RECONSTRUCTION)
    (distillation,) = losses.values()
    weights = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    theirs = torch.autograd.grad(distillation, weights, retain_graph=True, allow_unused=True)
    shared = [weight for weight, found in zip(weights, theirs, strict=True) if found is not None]
    ours = torch.autograd.grad(reconstruction, shared)
    parts = [torch.cat([g.flatten() for g in side if g is not None]) for side in (ours, theirs)]
    return parts[0], parts[1]
