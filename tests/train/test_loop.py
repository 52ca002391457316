from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qdr.errors import QdrError
from qdr.suite import config, paths
from qdr.suite.train import loop
from qdr.suite.train.checkpoint import load_weights, read_state
from qdr.suite.train.plan import Run, plan, run_folder, teacher
from qdr.suite.train.run import load_model, make

FP32 = Run("derain", "fp32", "FP32", "all", 0)
QDR = Run("derain", "qdr", "W8A8", "2", 0)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run_folder(run) / "model.safetensors")


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_plan_names_each_run_once_and_teachers_first(settings: config.Config) -> None:
    runs = plan(settings, "derain")
    assert len(runs) == len(set(runs))
    assert runs[0] == FP32
    for run in runs:
        if not run.recipe.scratch:
            assert runs.index(teacher("derain", run.recipe.teacher)) < runs.index(run)


def test_seeds_from_ten_on_start_from_another_teacher(settings: config.Config) -> None:
    block = config.BlockConfig(["derain"], ["qat"], ["W4A4"], ["all"], [0, 9, 10, 21])
    runs = plan(dataclasses.replace(settings, blocks={"students": block}), "derain")
    assert runs[:3] == [teacher("derain", "fp32", seed) for seed in range(3)]
    assert [run.start.seed for run in runs[3:]] == [0, 0, 1, 2]


def test_interrupted_run_gives_the_same_bits(settings: config.Config, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.replace(
        settings,
        fp32=dataclasses.replace(settings.fp32, steps=8, save_every=3, log_every=1),
        tune=dataclasses.replace(settings.tune, steps=8, save_every=3, log_every=1),
    )
    real = loop.learning_rate
    store, waiting = paths.project_root() / "work" / "store", paths.project_root() / "work" / "unfinished"

    def killed(step: int, steps: int, warmup: int) -> float:
        if step == 5:
            raise KeyboardInterrupt
        return real(step, steps, warmup)

    for run in (FP32, QDR):
        make(settings, run)
        whole, metrics = weights(run), (run_folder(run) / "metrics.jsonl").read_text()
        shutil.rmtree(store)
        monkeypatch.setattr(loop, "learning_rate", killed)
        with pytest.raises(KeyboardInterrupt):
            make(settings, run)
        assert equal(weights(run), whole), "an interrupted run must not touch the finished one"
        monkeypatch.setattr(loop, "learning_rate", real)
        (state,) = waiting.glob("*.pt")
        saved = read_state(state)
        assert saved is not None
        assert saved["step"] == 3
        make(settings, run)
        assert equal(weights(run), whole)
        assert (run_folder(run) / "metrics.jsonl").read_text() == metrics
        assert not list(waiting.iterdir())


def test_a_finished_run_is_taken_from_the_store(
    settings: config.Config, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(settings, FP32)
    whole = weights(FP32)
    shutil.rmtree(run_folder(FP32))

    def refuse(*_: object) -> None:
        raise AssertionError("it must not train again")

    monkeypatch.setattr(loop, "learning_rate", refuse)
    make(settings, FP32)
    assert equal(weights(FP32), whole)
    other = dataclasses.replace(settings, fp32=dataclasses.replace(settings.fp32, lr=2e-3))
    with pytest.raises(AssertionError, match="again"):
        make(other, FP32)


def test_training_lowers_the_loss_and_distillation_is_logged(settings: config.Config, pairs: Path) -> None:
    settings = dataclasses.replace(settings, fp32=dataclasses.replace(settings.fp32, steps=60, lr=3e-3, log_every=1))
    make(settings, FP32)
    lines = [json.loads(line) for line in (run_folder(FP32) / "metrics.jsonl").read_text().splitlines()]
    assert sum(line["loss"] for line in lines[-10:]) < 0.9 * sum(line["loss"] for line in lines[:10])
    make(settings, QDR)
    lines = [json.loads(line) for line in (run_folder(QDR) / "metrics.jsonl").read_text().splitlines()]
    assert {"loss_rec", "loss_bottleneck", "weight_rec", "weight_bottleneck", "grad_cosine"} <= lines[0].keys()
    teacher = weights(FP32)
    assert equal(weights(FP32), teacher)
    model = load_model(settings, QDR)
    assert all(p.quantizer.log_scale.isfinite() for n, p in model.named_modules() if n.endswith("point1"))


def test_a_missing_and_a_damaged_checkpoint(settings: config.Config, pairs: Path) -> None:
    with pytest.raises(QdrError, match="train it first"):
        make(settings, QDR)
    folder = run_folder(FP32)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(QdrError, match="damaged"):
        make(settings, QDR)


def test_a_checkpoint_of_another_network(settings: config.Config, pairs: Path) -> None:
    make(settings, FP32)
    with pytest.raises(QdrError, match="another network"):
        load_weights(run_folder(FP32), torch.nn.Linear(2, 2))
