"""Speed of a training step on the active profile's model: quantized and distilled, against FP32.

The reference is the plain FP32 step a user would write: eager, FP32, contiguous. All others use channels_last, and bf16
autocast where the processor has the instructions.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.references import Check, Work
from qdr.machine import has_bf16
from qdr.quant.prepare import calibrate, prepare
from qdr.seed import seed_everything
from qdr.suite import config
from qdr.suite.methods import catalogue
from qdr.suite.train.checkpoint import Progress
from qdr.suite.train.objective import Objective
from qdr.suite.train.optim import make_optimizer
from qdr.suite.zoo import build_model

KIND = "bf16" if has_bf16() else "fp32"


def step(method: str, plain: bool = False) -> Work:
    """One optimizer step of a method on random patches; `plain` is FP32 in the default memory format."""
    return training(method, plain)[0]


def training(method: str, plain: bool = False) -> tuple[Work, tuple[nn.Module, nn.Module, torch.optim.Optimizer]]:
    """A step as above, and what it trains: network, objective and optimizer."""
    settings, recipe = config.load(), catalogue()[method]
    seed_everything(0)
    patch = settings.tune.patch
    student, teacher = (_network(recipe.model) for _ in range(2))
    objective = Objective(recipe, student, teacher, settings.distill.every)
    if recipe.quantized:
        calibrate(prepare(student, "W8A8", recipe.quantization), [torch.rand(1, 3, patch, patch)])
    optimizer = make_optimizer(student, objective, 1e-4, 0.0, 1e-4, 1e-2)
    image = torch.rand(settings.tune.batch, 3, patch, patch)
    if not plain:
        for network in (student, teacher):
            network.to(memory_format=torch.channels_last)
        image = image.contiguous(memory_format=torch.channels_last)
    student.train()
    count = 0

    def run() -> None:
        nonlocal count
        optimizer.zero_grad()
        objective.backward(student, image, image, count, has_bf16() and not plain)
        optimizer.step()
        count += 1

    return run, (student, objective, optimizer)


def _network(name: str) -> nn.Module:
    model = build_model(name, config.load().model)
    for parameter in model.parameters():
        if parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter).data.mul_(0.5)
    return model


@pytest.mark.parametrize("method", ["qat", "qdr"])
def test_step(perf: Check, method: str) -> None:
    perf(f"train: {method.upper()} step over plain FP32, {KIND}", step(method), step("fp32", plain=True), 12)


def test_saving_a_state(perf: Check, tmp_path: Path) -> None:
    """Saved every 100 steps (the profile's `tune`), two steps are 2 % of the time between."""
    once, stateful = training("qdr")
    once()
    progress = Progress(tmp_path / "state.pt", "fingerprint")

    def save() -> None:
        progress.save(1, [], *stateful)

    perf(f"train: saving a state over plain FP32 step, {KIND}", save, step("fp32", plain=True), 12)


@pytest.mark.skipif(not importlib.util.find_spec("brevitas"), reason="brevitas is not installed (extra `brevitas`)")
def test_brevitas_takes_longer(perf: Check) -> None:
    perf(f"train: QAT step over brevitas's, {KIND}", step("qat"), _brevitas_step(), 12)


def _brevitas_step() -> Work:
    """The same network with brevitas's layers: INT8 weights per channel, INT8 activations at every point."""
    from brevitas import nn as qnn
    from brevitas.quant.scaled_int import Int8ActPerTensorFloat, Int8WeightPerChannelFloat

    from qdr.models.blocks import QuantPoint

    settings = config.load()
    model = _network("efm")
    for name, module in list(model.named_modules()):
        parent, _, leaf = name.rpartition(".")
        if isinstance(module, QuantPoint):
            setattr(model.get_submodule(parent), leaf, qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat))
        elif isinstance(module, nn.Conv2d):
            sizes = (module.in_channels, module.out_channels, module.kernel_size)
            conv = qnn.QuantConv2d(
                *sizes, stride=module.stride, padding=module.padding, weight_quant=Int8WeightPerChannelFloat
            )
            conv.load_state_dict(module.state_dict(), strict=False)
            setattr(model.get_submodule(parent), leaf, conv)
    model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    patch = settings.tune.patch
    image = torch.rand(settings.tune.batch, 3, patch, patch).contiguous(memory_format=torch.channels_last)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            restored = model(image)
        (restored.float() - image).abs().mean().backward()
        optimizer.step()

    return run
