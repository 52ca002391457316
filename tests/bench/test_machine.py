"""The machine's peak and the layers of a model: small ones, so that the numbers are counted by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from qdr.export.qdq import Exporter
from qdr.models.efm import EFM
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.suite import config
from qdr.suite.bench import layers, machine
from qdr.suite.report.load import ROOFLINE


@pytest.mark.parametrize("integer", [False, True])
def test_the_chain_is_what_it_is_counted_as(integer: bool) -> None:
    model, macs = machine.chain(8, 3, 16, integer)
    assert macs == machine.LAYERS * 8 * 8 * 9 * 16 * 16
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (mean,) = session.run(None, {"image": np.random.default_rng(0).random((1, 8, 16, 16), dtype=np.float32)})
    assert mean.shape == (1, 1, 1, 1)
    assert np.isfinite(mean)


def test_rates_are_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SHAPES", ((32, 3, 16),))
    monkeypatch.setattr(machine, "CALLS", 2)
    assert 0.1 < machine.arithmetic("int8", 1) < 1e5
    assert 0.1 < machine.copying(2**20, 2, 1) < 1e4
    assert machine.power_mode()


def files(efm: EFM, folder: Path) -> dict[str, str]:
    Exporter().write(efm, folder / "fp32.onnx", "efm", efm.stride)
    prepare(efm, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(efm, [torch.rand(1, 3, 32, 32)])
    Exporter().write(efm, folder / "int8.onnx", "efm-int8", efm.stride)
    return {precision: str(folder / f"{precision}.onnx") for precision in ("fp32", "int8")}


def test_work_of_each_convolution(efm: EFM, tmp_path: Path) -> None:
    """Against the shapes that PyTorch meets."""
    seen: dict[str, int] = {}
    hooks = []
    for name, module in efm.named_modules():
        if isinstance(module, torch.nn.Conv2d):

            def count(layer: torch.nn.Conv2d, _: object, out: torch.Tensor, name: str = name) -> None:
                seen[name.removesuffix(".conv")] = layer.weight.numel() * out[0, 0].numel()

            hooks.append(module.register_forward_hook(count))
    efm(torch.rand(1, 3, 48, 48))
    for hook in hooks:
        hook.remove()
    written = files(efm, tmp_path)
    for precision, item in (("fp32", 4), ("int8", 1)):
        found = layers.convolutions(Path(written[precision]), 48, item)
        assert {conv["layer"]: conv["macs"] for conv in found.values()} == seen
        stem = next(conv for conv in found.values() if conv["layer"] == "stem")
        assert stem["bytes"] == item * (3 * 48 * 48 + 16 * 3 * 2 * 2)
        assert stem["values"] == 16 * 24 * 24


@pytest.mark.slow
def test_rows_of_the_roofline(settings: config.Config, efm: EFM, project: Path) -> None:
    bench = dataclasses.replace(settings.bench, sides=[32], threads=1)
    peaks = {"peaks": {f"{precision}_gops": {"1": 1e5} for precision in ("fp32", "int8")}}
    rows = layers.measured(files(efm, project), bench, peaks)
    assert all(list(row) == list(ROOFLINE) for row in rows)
    for precision in ("fp32", "int8"):
        convolutions = [row for row in rows if row["precision"] == precision and row["macs"]]
        assert len(convolutions) == sum(isinstance(module, torch.nn.Conv2d) for module in efm.modules())
        assert {row["kind"] for row in convolutions} == {"Convolution"}
        assert all(float(row["gops"]) > 0 for row in convolutions)
    by = {(row["precision"], row["layer"]): row["bytes"] for row in rows}
    assert by["int8", "encoder.0.0.conv1"] * 4 == by["fp32", "encoder.0.0.conv1"]
    assert by["int8", "head"] == 16 * 16 * 16 + 12 * 16 * 3 * 3 + 4 * 12 * 16 * 16  # the engine writes the residual in FP32
