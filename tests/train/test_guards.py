"""Steps that are not finite, scales that collapse, channels that die."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from qdr.errors import QdrError
from qdr.models.efm import EFM
from qdr.suite import config, paths
from qdr.suite.data.loader import PairSet
from qdr.suite.train.checkpoint import read_state
from qdr.suite.train.guards import LIMIT, Guard, collapsed, dead_channels, finite, first_nonfinite, flushed, scales
from qdr.suite.train.plan import Run, run_folder
from qdr.suite.train.run import make
from tests.networks import quantized

FP32 = Run("derain", "fp32", "FP32", "all", 0)


def short(settings: config.Config, **changes: object) -> config.Config:
    schedule = dataclasses.replace(settings.fp32, steps=12, save_every=3, log_every=1, **changes)
    return dataclasses.replace(settings, fp32=schedule)


def poisoned(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Let the target of some steps hold one value that is not a number."""
    batches = PairSet.batches

    def spoil(data, count, batch, patch, seed, start, share):  # type: ignore[no-untyped-def]
        for step, (degraded, target) in enumerate(batches(data, count, batch, patch, seed, start, share), start):
            if step in steps:
                target[0, 0, 0, 0] = float("nan")
            yield degraded, target

    monkeypatch.setattr(PairSet, "batches", spoil)


def test_stopping_names_step_place_state_and_report(
    settings: config.Config, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, {7})
    with pytest.raises(QdrError, match="nan at step 7, first in the loss: lower the learning rate; the last good state"):
        make(short(settings), FP32)
    folder = paths.project_root() / "work" / "unfinished"
    (state,) = [path for path in folder.glob("*.pt") if ".previous" not in path.name]
    saved = read_state(state)
    assert saved is not None
    assert saved["step"] == 6
    (report,) = folder.glob("*.divergence.json")
    told = json.loads(report.read_text())
    assert told["step"] == 7
    assert told["losses"][-1] == "nan"
    assert len(told["losses"]) == 8
    assert not run_folder(FP32).exists()


def test_the_layer_is_named(efm: EFM) -> None:
    image = torch.rand(1, 3, 16, 16)
    assert first_nonfinite(efm, image) == "the loss"
    assert first_nonfinite(efm, image / 0) == "the input"
    with torch.no_grad():
        name, parameter = list(efm.named_parameters())[3]
        parameter.flatten()[0] = torch.inf
    assert first_nonfinite(efm, image) == f"the tensor {name!r}"


def test_an_output_that_overflows_is_named() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 3, 1))
    with torch.no_grad():
        model[1].weight.fill_(3e38)
        assert first_nonfinite(model, torch.full((1, 3, 2, 2), 1e10)) == "the output of layer '1'"


def test_skipped_steps_are_counted_and_the_rest_goes_on(
    settings: config.Config, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, {2, 7})
    make(short(settings, on_nonfinite="skip"), FP32)
    lines = [json.loads(line) for line in (run_folder(FP32) / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["skipped_steps"] == 2
    assert torch.isfinite(torch.tensor(lines[-1]["loss"]))


def test_skipping_ends_when_nothing_else_happens(
    settings: config.Config, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, set(range(2, 100)))
    with pytest.raises(QdrError, match=f"nan at step {1 + LIMIT}"):
        make(
            dataclasses.replace(
                settings, fp32=dataclasses.replace(settings.fp32, steps=60, on_nonfinite="skip", log_every=1)
            ),
            FP32,
        )


def test_a_state_with_spoiled_weights_is_never_saved(
    settings: config.Config, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.optim.AdamW.step

    def spoil(self, *arguments, **more):  # type: ignore[no-untyped-def]
        spoil.steps += 1  # type: ignore[attr-defined]
        done = real(self, *arguments, **more)
        if spoil.steps == 6:  # type: ignore[attr-defined]
            self.param_groups[0]["params"][0].data[0] = float("nan")
        return done

    spoil.steps = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(torch.optim.AdamW, "step", spoil)
    with pytest.raises(QdrError, match="first in the tensor"):
        make(short(settings), FP32)
    saved = [read_state(path) for path in (paths.project_root() / "work" / "unfinished").glob("*.pt")]
    assert [state["step"] for state in saved if state] == [3]


def test_collapsed_scales_and_dead_channels_are_counted(efm: EFM) -> None:
    model = quantized(efm)
    guard = Guard("stop", model)
    assert guard.health(model) == {}
    convolution = next(m for m in model.modules() if type(m).__name__ == "QuantConv2d")
    with torch.no_grad():
        convolution.conv.weight[0] = 0
        before = dead_channels(model)
        convolution.quantizer.log_scale[1] += 8
    assert before == 1
    found = guard.health(model)
    assert found["collapsed_scales"] == 1
    assert found["dead_channels"] == 2, "weights on a far too coarse grid are all zero"
    assert collapsed(guard.start, scales(model)) == [
        name for name, module in model.named_modules() if module is convolution.quantizer
    ]


def test_a_guard_goes_on_from_its_state(efm: EFM) -> None:
    model = quantized(efm)
    guard = Guard("skip", model)
    assert not guard.admits(float("inf"), model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 10
    other = Guard("skip", model)
    other.load_state_dict(guard.state_dict())
    assert (other.skipped, other.in_a_row, list(other.recent)) == (1, 1, [float("inf")])
    assert other.health(model)["collapsed_scales"] == len(scales(model))


def test_finite() -> None:
    assert finite([])
    assert finite([torch.zeros(3), torch.tensor([1])])
    assert not finite([torch.zeros(3), torch.tensor([torch.nan])])
    assert not finite([torch.tensor([torch.inf])])


def subnormal() -> float:
    return float(torch.full((1,), 1e-38) / 1e3)


def test_subnormal_numbers_are_zero_inside_alone() -> None:
    assert subnormal() > 0
    with flushed():
        assert subnormal() == 0
        with flushed():
            pass
        assert subnormal() == 0
    assert subnormal() > 0


def test_training_flushes_them(settings: config.Config, pairs: Path) -> None:
    seen = []
    make(settings, Run("derain", "fp32", "FP32", "all", 0), lambda *_: seen.append(subnormal()))
    assert seen
    assert set(seen) == {0.0}
    assert subnormal() > 0
