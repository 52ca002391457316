"""Make one model: an FP32 teacher, or a method applied to one.

A method starts from its FP32 teacher's weights, is calibrated, and then trained with fake quantization; PTQ stops after
calibration, or after reconstruction, which reads the calibration images alone. FP32 "tuned as long" goes on from the teacher
for as many steps: the honest ceiling.

Finished models are kept in a store under a fingerprint of everything that determines them: code, configuration, data,
teacher, versions. Its folder is a copy out of the store, so that one more method, an interrupted stage or another profile
trains only what was never trained before.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from qdr import files, ranks
from qdr.distill.balancers import BALANCERS
from qdr.images.calibration import GRAIN, checked
from qdr.images.tensor import to_tensor
from qdr.quant.equalize import equalize
from qdr.quant.policy import describe
from qdr.quant.prepare import calibrate, link, prepare, set_mode
from qdr.quant.quantizers import QUANTIZERS, Quantizer
from qdr.quant.reconstruct import correct_biases, reconstruct
from qdr.seed import derive, seed_everything
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.data.loader import Batches, PairSet
from qdr.suite.data.online import PAIRS, OnlineSet
from qdr.suite.methods import NONE
from qdr.suite.train.checkpoint import Progress, exclusive, load_weights, save_run
from qdr.suite.train.code import digest
from qdr.suite.train.display import Show, nowhere
from qdr.suite.train.loop import fit, use_bf16, validate
from qdr.suite.train.objective import Objective
from qdr.suite.train.optim import make_optimizer
from qdr.suite.train.plan import Run, run_folder
from qdr.suite.zoo import build_model

CALIBRATION_SIDE = 128
Model = tuple[nn.Module, list[dict[str, Any]]]


def make(config: Config, run: Run, show: Show = nowhere) -> None:
    """Train or calibrate one run, unless the store holds it, and put it in its folder.

    Of several commands that want the same model, one makes it and the others wait.
    """
    with ranks.together():
        _make(config, run, show)


def _make(config: Config, run: Run, show: Show) -> None:
    about = identity(config, run)
    name = fingerprint(about)
    stored, first = paths.store(name), ranks.rank() == 0
    with exclusive(paths.unfinished(name)) if first else nullcontext():
        if ranks.agreed(first and not stored.is_dir()):
            progress = Progress(paths.unfinished(name), name)
            model, metrics = _train(config, run, training_pairs(run), progress, show)
            if first:
                save_run(stored, model, metrics, about)
                progress.clear()
        if first:
            with files.replacing(run_folder(run)) as temporary:
                shutil.copytree(stored, temporary)
    ranks.wait()


def _train(config: Config, run: Run, data: PairSet, progress: Progress, show: Show) -> Model:
    recipe = run.recipe
    schedule = config.fp32 if recipe.scratch else config.tune
    seed = derive(schedule.seed, run.seed, "train")
    seed_everything(seed)
    validation = _read(paths.prepared(run.task, "val"), run.task, "val")
    model = build_model(recipe.model, config.model)
    guide = None
    if not recipe.scratch:
        model = load_weights(run_folder(run.start), model)
        guide = load_model(config, run.guide) if recipe.places else None
    source = batches_from(config, run)
    return train_model(config, run, model, guide, data, source, validation, seed, progress, show)


def train_model(
    config: Config,
    run: Run,
    model: nn.Module,
    guide: nn.Module | None,
    data: PairSet,
    source: Batches,
    validation: PairSet | None,
    seed: int,
    progress: Progress,
    show: Show,
) -> Model:
    """Calibrate `model` on `data` and train it on batches of `source`, by the run's recipe; returns it with its metrics."""
    recipe = run.recipe
    schedule = config.fp32 if recipe.scratch else config.tune
    objective = Objective(recipe, model, guide, config.distill.every, schedule.steps, schedule.loss)
    if recipe.quantized:
        _quantize(model, run, _calibration(data, config.quant.calibration), seed, partial(show, run.title))
    if recipe.learns == "scales":
        model.requires_grad_(False)
        for quantizer in (module for module in model.modules() if isinstance(module, Quantizer)):
            quantizer.requires_grad_(quantizer.learns)
    if not recipe.trains:
        return model, [{"step": 0} | ({"val_psnr": validate(model, validation)} if validation else {})]
    own = config.quant.lr_scales, config.distill.lr_balance, schedule.muon, config.quant.lr_offsets
    optimizer = make_optimizer(model, objective, schedule.lr, schedule.weight_decay, *own)
    return model, fit(model, objective, optimizer, source, validation, schedule, seed, progress, partial(show, run.title))


def _quantize(model: nn.Module, run: Run, images: list[torch.Tensor], seed: int, show: Callable[[int, int], None]) -> None:
    """Prepare and calibrate `model` by the run's recipe, in place. A signal ends it at once: it takes seconds, and the run
    starts anew.
    """
    recipe = run.recipe
    if recipe.equalize:
        equalize(model, images[0])
    calibrate(prepare(model, run.bits, recipe.quantization), images)
    if recipe.equalize:
        correct_biases(model, images)
    if recipe.reconstruct != NONE:
        model.to(ranks.device())
        reconstruct(model, images, recipe.reconstruct, seed, show=show)
        model.cpu()


def identity(config: Config, run: Run) -> dict[str, Any]:
    """Everything that decides a run's bits: settings, data, code, teachers, versions, machine."""
    recipe = run.recipe
    about = describe_run(config, run)
    about |= {"data": training_pairs(run).digest, "code": digest(_modules(config, run)), "torch": torch.__version__}
    if not recipe.scratch:
        about["teachers"] = {model.name: _weights_digest(run_folder(model)) for model in (run.start, run.guide)}
    return about


def _modules(config: Config, run: Run) -> tuple[str, ...]:
    """The modules of a run's own parts: network, quantizer, balancer, degradation."""
    recipe = run.recipe
    networks = [recipe.model, *([] if recipe.scratch else [run.guide.recipe.model])]
    found = {type(build_model(name, config.model)).__module__ for name in networks}
    if recipe.quantized:
        found |= {"qdr.quant.prepare", "qdr.quant.layers", QUANTIZERS[recipe.quantizer].__name__}
    found |= {"qdr.quant.equalize", "qdr.quant.reconstruct"} if recipe.equalize else set()
    found |= {"qdr.quant.reconstruct"} if recipe.reconstruct != NONE else set()
    found |= {BALANCERS[recipe.balance].__module__}
    found |= {"qdr.distill.points", "qdr.distill.distances"} if recipe.places else set()
    found |= {"qdr.suite.data.online"} if degradation(config, run) else set()
    return tuple(sorted(found))


def fingerprint(about: dict[str, Any]) -> str:
    """A run's identity as a checksum."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def describe_run(config: Config, run: Run) -> dict[str, Any]:
    """The effective settings of a run, for its record and its fingerprint."""
    recipe = run.recipe
    schedule = config.fp32 if recipe.scratch else config.tune
    rules = {"rules": describe(run.bits)} if recipe.quantized else {}
    return {
        "run": vars(run),
        "recipe": {key: value for key, value in vars(recipe).items() if key != "label"},
        "schedule": vars(schedule) if recipe.trains else None,
        "distill": vars(config.distill) if recipe.places else None,
        "quant": vars(config.quant) | rules if recipe.quantized else None,
        "model": vars(config.model),
        "online": degradation(config, run),
        "bf16": use_bf16(schedule.bf16),
        "device": ranks.device_name(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def load_model(config: Config, run: Run) -> nn.Module:
    """A finished run's network, in evaluation mode; quantized ones in fake quantization."""
    model = build_model(run.recipe.model, config.model)
    if run.recipe.quantized:
        link(prepare(model, run.bits, run.recipe.quantization), torch.zeros(1, 3, 32, 32))
        set_mode(model)
    return load_weights(run_folder(run), model).eval()


def calibration_images(config: Config, run: Run) -> list[torch.Tensor]:
    """The images a run is calibrated on, [1, 3, h, w] in [0, 1]: for tools that calibrate themselves."""
    return _calibration(training_pairs(run), config.quant.calibration)


def batches_from(config: Config, run: Run) -> Batches:
    """What makes a run's batches of its training pairs."""
    if not (online := degradation(config, run)):
        return training_pairs(run)
    if run.images == "all":
        return _read_online(paths.prepared(run.task, "train"), run.task, online, ranks.device())
    return OnlineSet(training_pairs(run), online, ranks.device())


def degradation(config: Config, run: Run) -> str:
    """What makes a run's batches on the device; "" where they are cut from the prepared pairs in memory.

    Some images are some degraded images: they are not degraded anew.
    """
    online = config.data.online.get(run.task, "")
    return online if not online or run.images == "all" else PAIRS


def training_pairs(run: Run) -> PairSet:
    """All pairs, or as many as the run takes: another draw for each seed, a smaller one part of a larger."""
    pairs = _read(paths.prepared(run.task, "train"), run.task, "train")
    return pairs if run.images == "all" else pairs.draw(int(run.images), derive("images", run.task, run.seed))


@lru_cache(maxsize=4)
def _read(folder: Path, task: str, split: str) -> PairSet:
    """A split, read once for all the runs of a process; the folder tells projects apart."""
    return PairSet.load(task, split)


@lru_cache(maxsize=4)
def _read_online(folder: Path, task: str, kind: str, device: torch.device) -> OnlineSet:
    """The training split on a device, put there once for all the runs of a process."""
    return OnlineSet(_read(folder, task, "train"), kind, device)


def _calibration(data: PairSet, count: int) -> list[torch.Tensor]:
    """A random crop of `count` random training inputs, or of all if there are fewer; the same for every method and seed.

    Sides are multiples of 32, as every network takes them (`qdr.images.calibration.checked`).
    """
    rng = np.random.default_rng(derive("calibration"))
    crops = []
    for i in sorted(rng.permutation(len(data.inputs))[:count]):
        image = data.inputs[i]
        height, width = (min(CALIBRATION_SIDE, side - side % GRAIN or side) for side in image.shape[:2])
        y, x = rng.integers(image.shape[0] - height + 1), rng.integers(image.shape[1] - width + 1)
        crops.append(to_tensor(image[y : y + height, x : x + width]))
    return checked(crops)


def _weights_digest(folder: Path) -> str:
    path = folder / "model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
