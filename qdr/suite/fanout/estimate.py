"""How long and how large a profile's matrix is: measured step times, times the steps.

A step costs what its kind costs: network, schedule, whether it is quantized, where it distils and how that is balanced. A
few steps of each kind are run here on random images of the profile's batch and patch, so the hours are those of this
machine; a GPU's are measured by the same command there.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from rich.progress import track
from torch import nn

from qdr import ranks
from qdr.errors import QdrError
from qdr.quant.prepare import calibrate, prepare
from qdr.rows import write_json, write_rows
from qdr.seed import seed_everything
from qdr.suite import paths, provenance
from qdr.suite.config import Config
from qdr.suite.methods import recipe as method
from qdr.suite.train.loop import step_on, use_bf16
from qdr.suite.train.objective import Objective
from qdr.suite.train.optim import make_optimizer
from qdr.suite.train.plan import Run, matrix, steps_of
from qdr.suite.zoo import build_model

WARMUP, TIMED = 1, 3
STATE = 3  # a saved state holds the weights and AdamW's two moments; two states are kept


def write_steps(config: Config) -> None:
    """Time a step of each kind and write results/<profile>/steps.csv and steps.json."""
    folder = paths.results(config.profile)
    write_rows(folder / "steps.csv", measure(config, matrix(config)))
    write_json(folder / "steps.json", provenance.collect(config.profile, [config.fp32.seed], config.threads))


def measure(config: Config, runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Time a step of every kind: rows with `kind`, the median `seconds` of `TIMED` steps and `bytes` of the weights."""
    first = {kind(run): run for run in reversed(list(runs))}
    seed_everything(config.fp32.seed)
    return [
        {"kind": name, **_measure(config, run), "device": ranks.device().type, "threads": 1}
        for name, run in track(sorted(first.items()), "step times")
    ]


def kind(run: Run) -> str:
    """What decides the cost of a run's step, in words."""
    recipe = run.recipe
    what = "FP32" if not recipe.quantized else f"{recipe.quantizer} {run.bits}" if recipe.trains else "calibrated"
    distils = f" + {' + '.join(recipe.places)} ({recipe.balance}) from {recipe.teacher}" if recipe.places else ""
    return f"{recipe.model} {what}{'' if recipe.scratch or not recipe.trains else ', tuned'}{distils}"


def seconds(config: Config, runs: Iterable[Run], measured: list[dict[str, Any]], where: str) -> dict[Run, float]:
    """What each cell takes, from the rows of `measure`; `where` they come from.

    Raises:
        QdrError: when a kind of step was not timed.
    """
    step = {row["kind"]: float(row["seconds"]) for row in measured}
    missing = sorted({kind(run) for run in runs} - step.keys())
    if missing:
        raise QdrError(f"{where} has no step time of {missing[0]!r}: run `qdr plan --profile {config.profile} --measure`")
    return {run: step[kind(run)] * steps_of(config, run) for run in runs}


def storage(runs: Iterable[Run], measured: list[dict[str, Any]]) -> int:
    """Bytes on disk: each model in the store and in its task's folder, and the states of one that trains."""
    size = {row["kind"]: int(row["bytes"]) for row in measured}
    return sum(2 * size[kind(run)] for run in runs) + 2 * STATE * max(size.values())


def _measure(config: Config, run: Run) -> dict[str, Any]:
    recipe, schedule = run.recipe, config.fp32 if run.recipe.scratch else config.tune
    device = ranks.device()
    model = _random(recipe.model, config)
    guide = _random(method(recipe.teacher).model, config) if recipe.places else None
    images = [torch.rand(schedule.batch, 3, schedule.patch, schedule.patch) for _ in range(2)]
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if recipe.quantized:
        begun = time.perf_counter()
        calibrate(prepare(model, run.bits, recipe.quantization), [image[:1] for image in images])
        if not recipe.trains:
            passed = (time.perf_counter() - begun) / len(images)
            return {"seconds": f"{passed * config.quant.calibration:.4g}", "bytes": size}
    objective = Objective(recipe, model, guide, config.distill.every)
    rates = (schedule.lr, schedule.weight_decay, config.quant.lr_scales, config.distill.lr_balance, schedule.muon)
    optimizer = make_optimizer(model, objective, *rates)
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective.move(device)
    degraded, target = (image.to(device) for image in images)

    def one(step: int) -> None:
        step_on(model, objective, optimizer, degraded, target, use_bf16(schedule.bf16), step, schedule.accumulate)
        optimizer.step()

    return {"seconds": f"{_median(one, device):.4g}", "bytes": size}


def _random(network: str, config: Config) -> nn.Module:
    """A network whose every part does something: a fresh EFM is the identity, and nothing flows through its bottleneck."""
    model = build_model(network, config.model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return model


def _median(one: Callable[[int], None], device: torch.device) -> float:
    taken = []
    for step in range(WARMUP + TIMED):
        begun = time.perf_counter()
        one(step)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[WARMUP:])
