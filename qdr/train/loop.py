"""The training loop: one, for FP32, quantization-aware and distilled training alike.

Batch k depends on (seed, k) alone and nothing else is random, so a run that was interrupted gives the same bits.
bf16 autocast halves an FP32 step on CPUs with AVX512-BF16 or AMX and triples it where bf16 is emulated, so it is used on
the former only; scales, losses and the optimizer stay in FP32.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from qdr.config import TrainConfig
from qdr.data.loader import PairSet, to_tensor
from qdr.errors import QdrError
from qdr.provenance import has_bf16
from qdr.train.checkpoint import Progress
from qdr.train.objective import Objective
from qdr.train.optim import learning_rate, set_learning_rate

Metrics = list[dict[str, Any]]


def fit(
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    data: PairSet,
    validation: PairSet | None,
    schedule: TrainConfig,
    seed: int,
    progress: Progress,
    title: str,
) -> Metrics:
    """Train `model` in place and return the metrics of every logged step."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    start, metrics = progress.restore(model, objective, optimizer)
    progress.log.parent.mkdir(parents=True, exist_ok=True)
    bf16 = schedule.bf16 and has_bf16()
    with progress.log.open("w", encoding="utf-8") as log:
        log.writelines(_line(entry) for entry in metrics)
        for step, (degraded, target) in enumerate(_shown(data, schedule, seed, start, title), start):
            factor = learning_rate(step, schedule.steps, schedule.warmup)
            set_learning_rate(optimizer, factor)
            entry = _step(model, objective, optimizer, degraded, target, bf16, step)
            last = step + 1 == schedule.steps
            if last and validation is not None:
                entry["val_psnr"] = validate(model, validation)
            if last or step % schedule.log_every == 0:
                metrics.append({"step": step, "lr": schedule.lr * factor} | entry)
                log.write(_line(metrics[-1]))
            if not last and (step + 1) % schedule.save_every == 0:
                log.flush()
                progress.save(step + 1, model, objective, optimizer)
    return metrics


def validate(model: nn.Module, data: PairSet) -> float:
    """Mean PSNR in dB over a split, RGB, per image, before rounding to 8 bits: for choosing, not for reporting."""
    model.eval()
    total = 0.0
    with torch.no_grad():
        for degraded, target in zip(data.inputs, data.targets, strict=True):
            restored = model(to_tensor(degraded)).clamp(0, 1)
            total += -10 * math.log10(float((restored - to_tensor(target)).square().mean()))
    return total / len(data.inputs)


def _step(
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    degraded: Tensor,
    target: Tensor,
    bf16: bool,
    step: int,
) -> dict[str, float]:
    model.train()
    degraded = degraded.contiguous(memory_format=torch.channels_last)
    optimizer.zero_grad()
    entry = objective.backward(model, degraded, target, step, bf16)
    if not math.isfinite(entry["loss"]):
        raise QdrError(f"the loss is {entry['loss']} at step {step}: lower the learning rate")
    optimizer.step()
    return entry


def _shown(data: PairSet, schedule: TrainConfig, seed: int, start: int, title: str) -> Iterator[tuple[Tensor, Tensor]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns) as bar:
        task = bar.add_task(title, total=schedule.steps, completed=start)
        for batch in data.batches(schedule.steps - start, schedule.batch, schedule.patch, seed, start):
            yield batch
            bar.advance(task)


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True) + "\n"
