"""Label-free QDR: the FP32 network teaches its quantized copy on the images at hand, without targets.

Two losses, L1 to the teacher's output (the anchor) and the distance at the bottleneck (Decoder-Free Distillation), weighed
by LMR. AdamW with a short warm-up and a cosine to zero; scales learn at a rate of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from qdr.convert.frames import Frames
from qdr.convert.progress import Progress
from qdr.distill.distiller import Distiller
from qdr.distill.lmr import LMR
from qdr.errors import QdrError
from qdr.quant.parameters import parameters

BATCH, PATCH = 4, 64
SAVE = 10  # steps between two states that an interrupted run goes on from
RATE, SCALES, WARMUP = 1e-4, 5e-3, 10
_STATE = "training"
Show = Callable[[str, int, int], None]


def distil(
    model: nn.Module,
    teacher: nn.Module,
    frames: Frames,
    steps: int,
    bottleneck: str,
    show: Show,
    progress: Progress | None = None,
    batch: int = BATCH,
) -> None:
    """Train the calibrated `model` in place, on the device it is on.

    Args:
        model: quantized and calibrated.
        teacher: its FP32 original.
        frames: images to take patches from.
        steps: of training.
        bottleneck: name of the module whose output is distilled.
        show: told of every step.
        progress: where states are kept and found, None for none.
        batch: patches of a step.

    Raises:
        QdrError: when the loss is no number any more.
    """
    device = next(model.parameters()).device
    dfd, lmr = Distiller(teacher, bottleneck, answer=True), LMR(share=1.0)
    optimizer = torch.optim.AdamW(parameters(model, RATE, SCALES))
    rates = [group["lr"] for group in optimizer.param_groups]
    begin = _resume(progress, model, optimizer, lmr)
    for step in range(begin, steps):
        factor = min((step + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        image = frames.batch(step, batch, frames.side if frames.fixed else min(PATCH, frames.side)).to(device)
        output, kd = dfd(model, image)
        assert kd.answer is not None
        optimizer.zero_grad()
        log = lmr.backward({"output": (output - kd.answer).abs().mean(), "bottleneck": kd.loss}, kd.feature)
        if not math.isfinite(log["loss"]):
            raise QdrError(f"the loss is no number any more at step {step}: leave training out (--steps 0)")
        optimizer.step()
        show("QDR", step + 1, steps)
        if progress is not None and (step + 1) % SAVE == 0:
            states = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "lmr": lmr.state_dict()}
            progress.keep(_STATE, {"step": step + 1} | states)
    model.eval()


def _resume(progress: Progress | None, model: nn.Module, optimizer: torch.optim.Optimizer, lmr: LMR) -> int:
    """How many steps are done already; their state is loaded."""
    state = progress.find(_STATE) if progress is not None else None
    if state is None:
        return 0
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    lmr.load_state_dict(state["lmr"])
    return int(state["step"])
