"""Methods that stop before training: what a run of them stores, and which code decides it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qdr.quant import reconstruct
from qdr.suite import config
from qdr.suite.train.plan import Run, run_folder
from qdr.suite.train.run import _modules, load_model, make

FP32 = Run("derain", "fp32", "FP32", "all", 0)


def test_a_reconstructed_model_is_stored_and_read_like_any_other(
    settings: config.Config, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstruct.reconstruct, "__defaults__", (0, 2, lambda done, of: None))
    make(settings, FP32)
    shown: list[tuple[str, int, int]] = []
    weights = {}
    for method in ("ptq", "ptq-qdrop", "ptq-cle"):
        run = Run("derain", method, "W4A4", "all", 0)
        make(settings, run, lambda *seen: shown.append(seen))
        weights[method] = load_file(run_folder(run) / "model.safetensors")
        model = load_model(settings, run)
        with torch.no_grad():
            assert bool(model(torch.rand(1, 3, 32, 32)).isfinite().all())
    assert shown[-1][1] == shown[-1][2] == len(shown) > 3
    for method, name in (("ptq-qdrop", "stem.conv.weight"), ("ptq-cle", "stem.conv.bias")):
        assert weights[method].keys() == weights["ptq"].keys()
        assert not torch.equal(weights[method][name], weights["ptq"][name])


def test_learned_steps_alone_leave_the_weights(settings: config.Config, pairs: Path) -> None:
    make(settings, FP32)
    found = {}
    for method in ("ptq", "steps-free"):
        run = Run("derain", method, "W4A4", "all", 0)
        make(settings, run)
        found[method] = load_file(run_folder(run) / "model.safetensors")
    before, after = found["ptq"], found["steps-free"]
    moved = {name.rpartition(".")[2] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"log_scale"}


@pytest.mark.parametrize(
    ("method", "used"),
    [
        ("ptq", set()),
        ("ptq-adaround", {"qdr.quant.reconstruct"}),
        ("ptq-cle", {"qdr.quant.reconstruct", "qdr.quant.equalize"}),
    ],
)
def test_the_fingerprint_follows_the_reconstruction_where_it_is_used(
    settings: config.Config, method: str, used: set[str]
) -> None:
    found = set(_modules(settings, Run("derain", method, "W4A4", "all", 0)))
    assert found & {"qdr.quant.reconstruct", "qdr.quant.equalize"} == used
