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
from qdr.distill.distiller import Distiller
from qdr.distill.lmr import LMR
from qdr.errors import QdrError
from qdr.quant.parameters import parameters

BATCH, PATCH = 4, 64
RATE, SCALES, WARMUP = 1e-4, 5e-3, 10
Show = Callable[[str, int, int], None]


def distil(model: nn.Module, teacher: nn.Module, frames: Frames, steps: int, bottleneck: str, show: Show) -> None:
    """Train the calibrated `model` in place, on the device it is on.

    Args:
        model: quantized and calibrated.
        teacher: its FP32 original.
        frames: images to take patches from.
        steps: of training.
        bottleneck: name of the module whose output is distilled.
        show: told of every step.

    Raises:
        QdrError: when the loss is no number any more.
    """
    device = next(model.parameters()).device
    dfd, lmr = Distiller(teacher, bottleneck, answer=True), LMR(share=1.0)
    optimizer = torch.optim.AdamW(parameters(model, RATE, SCALES))
    rates = [group["lr"] for group in optimizer.param_groups]
    for step in range(steps):
        factor = min((step + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        image = frames.batch(step, BATCH, min(PATCH, frames.side)).to(device)
        output, kd = dfd(model, image)
        assert kd.answer is not None
        optimizer.zero_grad()
        log = lmr.backward({"output": (output - kd.answer).abs().mean(), "bottleneck": kd.loss}, kd.feature)
        if not math.isfinite(log["loss"]):
            raise QdrError(f"the loss is no number any more at step {step}: leave training out (--steps 0)")
        optimizer.step()
        show("QDR", step + 1, steps)
    model.eval()
