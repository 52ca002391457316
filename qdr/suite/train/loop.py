"""The training loop: one, for FP32, quantization-aware and distilled training alike, on one process or several (torchrun).

Batch k depends on (seed, k) alone, so a run that was interrupted gives the same bits. bf16 autocast halves an FP32 step on
CPUs with AVX512-BF16 or AMX and triples it where bf16 is emulated, so it is used on the former only; quantized layers,
losses and the optimizer stay in FP32, and of quantized convolutions only the gradients are computed in bf16.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from qdr import ranks
from qdr.errors import Interrupted
from qdr.images.tensor import to_tensor
from qdr.machine import has_bf16
from qdr.suite.config import TrainConfig
from qdr.suite.data.loader import Batches, PairSet
from qdr.suite.train import stop
from qdr.suite.train.average import Average
from qdr.suite.train.checkpoint import Metrics, Progress
from qdr.suite.train.guards import Guard, finite, flushed
from qdr.suite.train.objective import Objective
from qdr.suite.train.optim import learning_rate, set_learning_rate


@flushed()
def fit(
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    data: Batches,
    validation: PairSet | None,
    schedule: TrainConfig,
    seed: int,
    progress: Progress,
    show: Callable[[int, int], None],
) -> Metrics:
    """Train `model` in place, on this process's device, and return the metrics of every logged step.

    `show` is called after every step in the first process with how many are done, of how many.

    Raises:
        QdrError: where the loss is not finite and the schedule's policy stops; a report lies beside the last state.
        Interrupted: on a signal, after the step it came in was finished and saved.
    """
    device = ranks.device()
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective.move(device)
    guard = Guard(schedule.on_nonfinite, model)
    average = Average(model, schedule.ema)
    stateful = (model, objective, optimizer, guard, average)
    start, metrics = progress.restore(*stateful)
    ranks.same_everywhere(model)
    progress.log.parent.mkdir(parents=True, exist_ok=True)
    bf16 = use_bf16(schedule.bf16)
    with progress.writing(metrics) as log, stop.watched() as stopped:
        share = ranks.share_of(schedule.batch, schedule.accumulate)
        batches = data.batches(schedule.steps - start, schedule.batch, schedule.patch, seed, start, share)
        for step, (degraded, target) in enumerate(batches, start):
            factor = learning_rate(step, schedule.steps, schedule.warmup)
            set_learning_rate(optimizer, factor)
            degraded, target = degraded.to(device), target.to(device)
            entry = step_on(model, objective, optimizer, degraded, target, bf16, step, schedule.accumulate)
            if guard.admits(entry["loss"], model):
                optimizer.step()
                average.update()
            elif guard.gives_up():
                raise guard.stop(model, degraded, step, progress)
            last = step + 1 == schedule.steps
            if last:
                average.apply()
            if last and ranks.rank() == 0:
                entry |= guard.health(model) | ({"val_psnr": validate(model, validation)} if validation else {})
            if last or step % schedule.log_every == 0:
                metrics.append({"step": step, "lr": schedule.lr * factor} | entry)
                log.write(json.dumps(metrics[-1], sort_keys=True) + "\n")
            signal = ranks.agreed(stopped.signal)
            if (signal or (not last and (step + 1) % schedule.save_every == 0)) and ranks.rank() == 0:
                if not finite(model.state_dict().values()):
                    raise guard.stop(model, degraded, step, progress)
                log.flush()
                progress.save(step + 1, metrics, *stateful)
            if signal:
                raise Interrupted(signal)
            if ranks.rank() == 0:
                show(step + 1, schedule.steps)
    model.cpu()
    return metrics


def use_bf16(allowed: bool) -> bool:
    """Whether to train in bfloat16 autocast: where it is allowed and the device has instructions for it."""
    return allowed and (torch.cuda.is_bf16_supported() if ranks.device().type == "cuda" else has_bf16())


def validate(model: nn.Module, data: PairSet) -> float:
    """Mean PSNR in dB over a split, RGB, per image, before rounding to 8 bits: for choosing, not for reporting."""
    model.eval()
    device = next(model.parameters()).device
    total = 0.0
    with torch.no_grad():
        for degraded, target in zip(data.inputs, data.targets, strict=True):
            restored = model(to_tensor(degraded).to(device)).cpu().clamp(0, 1)
            total += -10 * math.log10(float((restored - to_tensor(target)).square().mean()))
    return total / len(data.inputs)


def step_on(
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    degraded: Tensor,
    target: Tensor,
    bf16: bool,
    step: int,
    parts: int,
) -> dict[str, float]:
    """Leave the gradients of a step in the parameters, and return what to log: means over the parts."""
    model.train()
    degraded = degraded.contiguous(memory_format=torch.channels_last)
    optimizer.zero_grad()
    pieces = zip(degraded.chunk(parts), target.chunk(parts), strict=True)
    entries = [objective.backward(model, *piece, step, bf16) for piece in pieces]
    ranks.average_gradients([p for group in optimizer.param_groups for p in group["params"]], parts)
    if parts == 1:
        return entries[0]
    return {name: sum(entry[name] for entry in entries) / parts for name in entries[0]}
