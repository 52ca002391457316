"""Kinds of layers x schemes x engines: prepare, calibrate, export, and what each engine makes of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

import qdr
from qdr.errors import QdrError
from qdr.export.check import census
from qdr.export.file import read_onnx
from qdr.models.blocks import QuantPoint
from qdr.quant.layers import ActivationQuantizer, QuantConv2d, QuantConvTranspose2d, QuantLinear
from qdr.quant.prepare import quantized_layers, set_mode
from qdr.quant.record import record
from qdr.runtimes.session import open_session
from qdr.runtimes.verify import saturates
from tests.quant.kinds import KINDS, Functional, network

FILES = [(name, "W8A8") for name in KINDS] + [pytest.param(name, "W7A8", marks=pytest.mark.slow) for name in KINDS]


def restored(model: nn.Module, images: list[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        return [model.eval()(image) for image in images]


@pytest.mark.parametrize("scheme", ["W8A8", "W7A8", "W4A4"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_quantized_and_near(name: str, scheme: str) -> None:
    model, images = network(name)
    before = restored(model, images)
    report = qdr.quantize(model, images, scheme)
    assert [layer.kind for layer in report.floats] == (["matmul"] if name == "attention" else [])
    after = restored(model, images)
    changed = max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True))
    assert 0 < changed < (1.0 if scheme == "W4A4" else 0.05)
    set_mode(model, "float")
    for a, b in zip(restored(model, images), before, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize(("name", "scheme"), FILES)
def test_every_right_engine_computes_the_fake_quantization(name: str, scheme: str, tmp_path: Path) -> None:
    model, images = network(name)
    qdr.quantize(model, images, scheme)
    (expected,) = restored(model, images[:1])
    made = qdr.export_onnx(model, tmp_path / "model.onnx", images[0])
    assert made.breaches == []
    assert census(read_onnx(made.path))["FP32 convolutions"] == 0
    for engine in ("exact", "onnxruntime", "openvino"):
        if scheme == "W8A8" and saturates(engine):
            continue  # found wrong on this processor, and not used
        levels = np.abs(open_session(engine, made.path, "int8", 1).run(images[0].numpy()) - expected.numpy()) * 255
        assert levels.max() < 2, engine
        assert levels.mean() < 0.05, engine
    assert made.multiple is not None
    other = torch.rand(1, images[0].shape[1], 8 * made.multiple, 16 * made.multiple)
    (expected,) = restored(model, [other])
    with qdr.open_session(made.path, "exact") as run:
        assert float((run(other) - expected).abs().mean()) * 255 < 0.05


def test_the_layers_of_every_kind() -> None:
    kinds = {
        type(layer)
        for name in KINDS
        for layer in quantized_layers(_quantized(name))
        if not isinstance(layer, ActivationQuantizer)
    }
    assert kinds == {QuantConv2d, QuantConvTranspose2d, QuantLinear}


def test_the_first_and_the_last_layer_keep_eight_bits() -> None:
    bits = {name: {layer.name: (layer.weights, layer.activations) for layer in _report(name).layers} for name in KINDS}
    eight = {name: [layer for layer, (weights, _) in found.items() if weights == 8] for name, found in bits.items()}
    ends = {"convolutions": ["stem", "head"], "attention": ["patches", "out"], "shared": ["stem.0", "head"]}
    assert eight == ends | {"root": ["0"]}
    assert bits["convolutions"]["stem"] == (8, 8)
    assert bits["convolutions"]["down"] == (4, 4)
    assert bits["convolutions"]["head"] == (8, 4)


def test_normalizations_are_folded_wherever_they_stand() -> None:
    assert _report("convolutions").folded == {"norm": "down", "up_norm": "up"}
    assert _report("shared").folded == {"stem.1": "stem.0"}
    model, _ = network("convolutions")
    head = nn.Sequential(nn.BatchNorm2d(3), model)
    assert qdr.quantize(head, [torch.rand(1, 3, 64, 64)]).others["BatchNorm2d"] == 1


def test_an_addition_and_a_convolution_share_the_quantizer_of_what_both_read() -> None:
    model, images = network("shared")
    report = qdr.quantize(model, images)
    assert report.additions == 3
    assert model.plain.shared.source is model.plain.point0
    assert report.unused == ["unused"]
    assert type(model.plain).__name__ == "Residual"
    low, images = network("shared")
    assert qdr.quantize(low, images, "W4A4").additions == 0  # no engine adds integers of 4 bits


def test_one_convolution_under_two_names_stays_one() -> None:
    model, images = network("shared")
    qdr.quantize(model, images)
    assert model.a.shared is model.b.shared
    assert isinstance(model.a.shared[1], QuantConv2d)


def test_strict_names_what_would_multiply_in_floating_point() -> None:
    model, images = network("attention")
    with pytest.raises(QdrError, match=r"strict: 1 operations .* block \(matmul\): a function, not a layer"):
        qdr.quantize(model, images, strict=True)
    with pytest.raises(QdrError, match=r"\(root\) \(conv2d\)"):
        qdr.quantize(Functional(), [torch.rand(1, 3, 32, 32)], strict=True)
    assert qdr.quantize(Functional(), [torch.rand(1, 3, 32, 32)]).floats[0].kind == "conv2d"
    normed = nn.Sequential(weight_norm(nn.Conv2d(3, 3, 3)))
    with pytest.raises(QdrError, match="its weight is computed"):
        qdr.quantize(normed, [torch.rand(1, 3, 32, 32)], strict=True)
    plain, images = network("shared")
    assert qdr.quantize(plain, images, strict=True).share == 1


def test_a_kept_layer_stays_in_floating_point() -> None:
    model, images = network("shared")
    report = qdr.quantize(model, images, keep=["plain.own"])
    assert [(layer.name, layer.why) for layer in report.floats] == [("plain.own", "kept by request")]
    assert type(model.plain.own) is nn.Conv2d
    with pytest.raises(QdrError, match=r"no layer 'plain\.other'"):
        qdr.quantize(network("shared")[0], images, keep=["plain.other"])


class Two(nn.Module):
    """Returns what the parameters make of it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.conv, self.other = kind, nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.point, self.second = QuantPoint(), QuantPoint()

    def forward(self, x: Tensor) -> object:
        if self.kind == "two results":
            return x, x
        if self.kind == "reads a layer":
            return F.conv2d(self.other(x), self.other.weight)
        y: Tensor = self.conv(self.second(self.conv(self.point(x))))
        return y


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("two results", "returns tuple, not one tensor"),
        ("two points", "runs twice, behind 'point' and 'second'"),
    ],
)
def test_refusals(kind: str, message: str) -> None:
    with pytest.raises(QdrError, match=message):
        qdr.quantize(Two(kind), [torch.rand(1, 3, 16, 16)])


def test_a_network_that_reads_its_layers_attributes() -> None:
    model = Two("reads a layer")
    del model.point, model.second
    with pytest.raises(QdrError, match="reads what its layers no longer have"):
        qdr.quantize(model, [torch.rand(1, 3, 16, 16)])


def test_images_are_needed() -> None:
    with pytest.raises(QdrError, match="at least one image"):
        qdr.quantize(nn.Conv2d(3, 3, 1), [])


def test_gradients_reach_every_parameter_of_every_kind() -> None:
    for name in KINDS:
        model, images = network(name)
        qdr.quantize(model, images)
        (model.train()(images[0]) - 0.5).square().mean().backward()
        without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
        assert [key for key in without if not key.startswith("unused")] == [], name


def test_in_place_operations_make_tensors_of_their_own() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1))
    found = record(model, torch.rand(1, 3, 8, 8))
    relu, conv = found.ops[1], found.ops[2]
    assert [op.kind for op in found.ops] == ["Conv2d", "relu", "Conv2d"]
    assert relu.inputs[0][0] == relu.outputs[0][0]
    assert relu.inputs != relu.outputs == conv.inputs
    assert found.ops[0].macs == 3 * 3 * 64


def _quantized(name: str) -> nn.Module:
    model, images = network(name)
    qdr.quantize(model, images)
    return model


def _report(name: str) -> qdr.Report:
    model, images = network(name)
    return qdr.quantize(model, images, "W4A4")
