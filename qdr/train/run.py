"""Make one model: an FP32 teacher, or a method applied to it.

fp32                     trained from scratch
fp32-tuned               goes on from fp32 for as long as QAT trains: the honest ceiling
ptq                      fp32, calibrated
qat, qat-kd-*, qdr*      fp32, calibrated, then trained with fake quantization
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import nn

from qdr import paths
from qdr.config import Config
from qdr.data.loader import PairSet, to_tensor
from qdr.distill.balance import LMR, FixedWeight
from qdr.models.zoo import build_model
from qdr.quant.policy import describe
from qdr.quant.prepare import calibrate, insert, link, thaw
from qdr.seed import derive, seed_everything
from qdr.train.checkpoint import Progress, load_weights, save_run
from qdr.train.loop import fit, validate
from qdr.train.methods import Recipe, Run
from qdr.train.objective import DistilledObjective, Objective
from qdr.train.optim import make_optimizer

CALIBRATION_SIDE = 128


def make(config: Config, run: Run) -> None:
    """Train or calibrate one run and write its folder."""
    recipe = run.recipe
    scratch = run.method == recipe.teacher
    schedule = config.fp32 if scratch else config.tune
    seed = derive(schedule.seed, run.seed, "train")
    seed_everything(seed, config.threads)
    limit = None if run.images == "all" else int(run.images)
    data, validation = PairSet.load(run.task, "train", limit), PairSet.load(run.task, "val")
    model: nn.Module = build_model(recipe.architecture, config.model)
    objective = Objective()
    if not scratch:
        teacher = load_weights(teacher_folder(run), build_model(recipe.architecture, config.model))
        model.load_state_dict(teacher.state_dict())
        if recipe.place is not None:
            objective = DistilledObjective(teacher, recipe.place, _balancer(config, recipe))
    if recipe.quantized:
        calibrate(insert(model, run.bits, config.quant.observer), _calibration(data, config.quant.calibration))
    about = {
        "run": vars(run),
        "recipe": vars(recipe),
        "schedule": vars(schedule) if recipe.trains else None,
        "distill": vars(config.distill) if recipe.place else None,
        "quant": vars(config.quant) | {"rules": describe(run.bits)} if recipe.quantized else None,
        "model": vars(config.model),
        "data": data.digest(),
    }
    if recipe.trains:
        optimizer = make_optimizer(
            model, objective, schedule.lr, schedule.weight_decay, config.quant.lr_scales, config.distill.lr_magnitudes
        )
        fingerprint = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        progress = Progress(paths.unfinished(run.task, run.name), fingerprint)
        metrics = fit(model, objective, optimizer, data, validation, schedule, seed, progress)
        save_run(run_folder(run), model, metrics, about)
        progress.clear()
    else:
        save_run(run_folder(run), model, [{"step": 0, "val_psnr": validate(model, validation)}], about)


def load_model(config: Config, run: Run) -> nn.Module:
    """A finished run's network, in evaluation mode; quantized ones in fake quantization."""
    model: nn.Module = build_model(run.recipe.architecture, config.model)
    if run.recipe.quantized:
        link(insert(model, run.bits, config.quant.observer), torch.zeros(1, 3, 32, 32))
        thaw(model)
    return load_weights(run_folder(run), model).eval()


def run_folder(run: Run) -> Path:
    """Where a run is kept."""
    return paths.runs(run.task) / run.name


def teacher_folder(run: Run) -> Path:
    """Where the FP32 model is that a run starts and learns from."""
    return run_folder(Run(run.task, run.recipe.teacher, "FP32", "all", 0))


def _balancer(config: Config, recipe: Recipe) -> LMR | FixedWeight:
    if recipe.balance == "lmr":
        return LMR(config.distill.share, config.distill.every)
    return FixedWeight(config.distill.weight)


def _calibration(data: PairSet, count: int) -> list[torch.Tensor]:
    """The first `count` training inputs, cut to their upper left part."""
    return [to_tensor(image[:CALIBRATION_SIDE, :CALIBRATION_SIDE]) for image in data.inputs[:count]]
