"""The kernels of an exported file: against PyTorch's own count, and per pixel."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from qdr.export.file import read_onnx
from qdr.models.efm import EFM
from qdr.rows import read_rows
from qdr.suite import config
from qdr.suite.bench.costs import write_costs
from qdr.suite.bench.kernels import describe, kernels, write_int8


@pytest.fixture(scope="module")
def model() -> EFM:
    torch.manual_seed(0)
    made = EFM((16, 32), (1, 2))
    for parameter in made.parameters():
        if parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter)
    return made.eval()


def counted(model: nn.Module, height: int, width: int) -> int:
    """MACs of the convolutions, by hooks."""
    total = 0

    def count(layer: nn.Module, _: object, result: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += result.numel() * layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]

    hooks = [layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        model(torch.rand(1, 3, height, width))
    for hook in hooks:
        hook.remove()
    return total


def test_against_pytorch_and_per_pixel(model: EFM, tmp_path: Path) -> None:
    sizes = ((64, 48), (128, 32))
    expected = [counted(model, *size) for size in sizes]
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in model.modules())
    write_int8(model, tmp_path / "efm.onnx")
    file = read_onnx(tmp_path / "efm.onnx")
    found = [kernels(file, *size) for size in sizes]
    for listed, macs in zip(found, expected, strict=True):
        assert sum(kernel.macs for kernel in listed) == macs
        assert sum(kernel.convolution for kernel in listed) == convolutions
    for one, other in zip(*found, strict=True):
        assert one.macs / (64 * 48) == other.macs / (128 * 32)
        assert one.activation_bytes / (64 * 48) == other.activation_bytes / (128 * 32)
        assert one.weight_bytes == other.weight_bytes
    by_name = {kernel.name: kernel for kernel in found[0]}
    level = 16 * 32 * 24  # values of level 0: 16 channels at half resolution
    assert by_name["encoder.0.0.conv1"].activation_bytes == 2 * level, "INT8 in, INT8 out: ReLU and quantization are fused"
    assert by_name["encoder.0.0.conv2"].activation_bytes == 3 * level, "the addition reads one tensor more"
    assert by_name["head"].activation_bytes == level + 4 * 12 * 32 * 24, "its output is not quantized"
    assert by_name["encoder.0.0.conv1"].weight_bytes == 9 * 16 * 16 + 4 * 16


def test_what_networks_cost(settings: config.Config, project: Path) -> None:
    bench = dataclasses.replace(settings.bench, models=["dncnn"], sides=[256])
    write_costs(dataclasses.replace(settings, bench=bench))
    rows = {row["model"]: row for row in read_rows(project / "results" / settings.profile / "costs.csv")}
    assert list(rows) == ["efm", "efm-no-ldg", "dncnn"]
    assert (rows["dncnn"]["parameters"], rows["dncnn"]["macs"]) == ("559363", "36465278976")
    assert int(rows["efm-no-ldg"]["macs"]) < int(rows["efm"]["macs"])


@pytest.mark.slow
def test_a_larger_model_costs_more() -> None:
    small, large = (describe("efm", EFM([32, 32], [1, n])) for n in (1, 2))
    assert {row["model"] for row in small} == {"efm"}
    assert len(large) == len(small) + 2
    assert sum(float(r["macs_per_pixel"]) for r in large) > sum(float(r["macs_per_pixel"]) for r in small)
