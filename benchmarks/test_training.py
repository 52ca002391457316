"""Speed of a training step: fake quantization against FP32, on the active profile's model."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from qdr import config
from qdr.models.zoo import build_model
from qdr.quant.prepare import calibrate, insert
from qdr.seed import seed_everything

FLOORS = json.loads((Path(__file__).parent / "floors.json").read_text())


class Step:
    """One optimizer step on random patches."""

    def __init__(self, quantized: bool) -> None:
        settings = config.load()
        seed_everything(0, settings.threads)
        self.model: nn.Module = build_model("efm", settings.model)
        patch = settings.tune.patch
        if quantized:
            insert(self.model, "W8A8", "minmax")
            calibrate(self.model, [torch.rand(1, 3, patch, patch)])
        self.model.train().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-4)
        self.image = torch.rand(settings.tune.batch, 3, patch, patch).contiguous(memory_format=torch.channels_last)

    def __call__(self) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            restored = self.model(self.image)
        self.optimizer.zero_grad()
        (restored.float() - self.image).abs().mean().backward()
        self.optimizer.step()


@pytest.mark.parametrize("quantized", [False, True])
def test_step(benchmark: BenchmarkFixture, quantized: bool) -> None:
    benchmark.pedantic(Step(quantized), rounds=20, warmup_rounds=3)


def test_fake_quantization_is_affordable() -> None:
    steps = Step(False), Step(True)
    for step in (*steps, *steps):
        step()
    ratios = []
    for _ in range(20):
        times = []
        for step in steps:
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        ratios.append(times[1] / times[0])
    assert float(np.median(ratios)) <= FLOORS["lsq_step_over_fp32_step"]["ceiling"]
