"""The moving average against its sum written out, in a run, and over an interruption."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings as examples, strategies as st
from safetensors.torch import load_file
from torch import nn

from qdr.errors import QdrError
from qdr.suite import config, paths
from qdr.suite.train import loop
from qdr.suite.train.average import Average
from qdr.suite.train.plan import Run, run_folder
from qdr.suite.train.run import make

FP32 = Run("derain", "fp32", "FP32", "all", 0)
QAT = Run("derain", "qat", "W4A4", "all", 0)


@examples(max_examples=10)
@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40), st.floats(0.05, 0.999))
def test_the_average_is_the_sum_written_out(values: list[float], decay: float) -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, decay)
    expected = float(model.weight.detach())
    for n, value in enumerate(values):
        nn.init.constant_(model.weight, value)
        average.update()
        kept = min(decay, (1 + n) / (10 + n))
        expected = kept * expected + (1 - kept) * value
    average.apply()
    assert float(model.weight.detach()) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_without_a_decay_nothing_is_kept() -> None:
    model = nn.Linear(2, 2)
    average, before = Average(model, 0.0), model.weight.detach().clone()
    average.update()
    average.apply()
    assert torch.equal(model.weight, before)
    assert average.mean == []


def with_average(settings: config.Config, decay: float) -> config.Config:
    short = {"steps": 8, "save_every": 3, "log_every": 1, "ema": decay}
    return dataclasses.replace(
        settings, fp32=dataclasses.replace(settings.fp32, **short), tune=dataclasses.replace(settings.tune, **short)
    )


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run_folder(run) / "model.safetensors")


def test_weights_and_scales_are_averaged_and_an_interrupted_run_gives_the_same_bits(
    settings: config.Config, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(settings := with_average(settings, 0.9), FP32)
    make(with_average(settings, 0.0), QAT)
    last = weights(QAT)
    make(settings, QAT)
    whole = weights(QAT)
    moved = {key for key in whole if not torch.equal(whole[key], last[key])}
    assert any(key.endswith("conv.weight") for key in moved)
    assert any(key.endswith("log_scale") for key in moved)
    shutil.rmtree(paths.project_root() / "work" / "store")
    real = loop.learning_rate

    def killed(step: int, steps: int, warmup: int) -> float:
        if step == 5:
            raise KeyboardInterrupt
        return real(step, steps, warmup)

    monkeypatch.setattr(loop, "learning_rate", killed)
    with pytest.raises(KeyboardInterrupt):
        make(settings, QAT)
    monkeypatch.setattr(loop, "learning_rate", real)
    make(settings, QAT)
    assert all(torch.equal(value, whole[key]) for key, value in weights(QAT).items())


def test_a_decay_of_one_is_refused(project: Path) -> None:
    profile = project / "params.yaml"
    profile.write_text(profile.read_text().replace("save_every: 500, seed", "save_every: 500, ema: 1.0, seed"))
    with pytest.raises(QdrError, match=r"\.ema must be at least 0 and below 1, got 1\.0"):
        config.load()
