"""Additions in floating point: every layer reads integers, no addition does."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from qdr.export.qdq import Exporter
from qdr.models.blocks import QuantPoint, stride
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.runtimes.session import open_session, restore
from tests.networks import small_efm

FLOAT = QuantizerConfig(quantizer="lsq", observer="minmax", additions="float")


def image(side: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(2))


def calibrated(model: nn.Module, config: QuantizerConfig, scheme: str = "W8A8") -> nn.Module:
    calibrate(prepare(model, scheme, config), [image()])
    return model


def test_the_file_adds_floats_and_convolves_integers(tmp_path: Path) -> None:
    model = calibrated(small_efm(), FLOAT)
    assert not any(isinstance(module, QuantPoint) for module in model.modules())
    file = tmp_path / "efm.onnx"
    Exporter().write(model, file, "efm", stride(model))
    graph = onnx.load(file).graph
    maker = {name: node.op_type for node in graph.node for name in node.output}
    additions = [node for node in graph.node if node.op_type == "Add"]
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert additions
    assert not any(maker.get(name) == "DequantizeLinear" for node in additions for name in node.input)
    assert convolutions
    assert all(maker[node.input[0]] == "DequantizeLinear" for node in convolutions)


def test_the_engine_computes_what_training_simulates(tmp_path: Path) -> None:
    model = calibrated(small_efm(), FLOAT)
    with torch.no_grad():
        simulated = model(image()).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    Exporter().write(model, tmp_path / "efm.onnx", "efm", stride(model))
    pixels = np.rint(image()[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    restored = restore(open_session("exact", tmp_path / "efm.onnx", "int8", 1), pixels)
    assert np.abs(restored - simulated * 255).mean() < 1.5  # the input is rounded to 8 bits too


@pytest.mark.parametrize("scheme", ["W8A8", "W4A4"])
def test_a_stream_in_floating_point_is_nearer_to_the_network(scheme: str) -> None:
    model = small_efm()
    with torch.no_grad():
        exact = model(image())
        errors = {
            kind: float((calibrated(copy.deepcopy(model), QuantizerConfig(additions=kind), scheme)(image()) - exact).norm())
            for kind in ("int8", "float")
        }
    assert errors["float"] < errors["int8"]
