from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch

from qdr.export.qdq import Exporter
from qdr.machine import has_bf16
from qdr.models.blocks import stride
from qdr.models.efm import EFM
from qdr.runtimes.census import Layer, of_tensorrt
from qdr.runtimes.session import open_session
from qdr.runtimes.torch_eager import TorchSession
from qdr.suite import config
from qdr.suite.zoo import build_model
from tests.export.breaches import float_input
from tests.networks import quantized

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def default() -> torch.nn.Module:
    """The EFM of the embedded profile, weights at random, W8A8."""
    settings = config.load(ROOT / "profiles" / "embedded.yaml")
    torch.manual_seed(0)
    model = build_model("efm", settings.model)
    for parameter in model.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter).data.mul_(0.5)
    return quantized(model)


@pytest.fixture(scope="module")
def file(default: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("default") / "efm.onnx"
    Exporter().write(default, path, "efm", stride(default))
    return path


def not_integer(layers: list[Layer]) -> list[Layer]:
    """The convolutions that run in floating point."""
    return [layer for layer in layers if layer.convolves and layer.precision != "int8"]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_no_convolution_of_the_int8_default_runs_in_fp32(file: Path, engine: str) -> None:
    session = open_session(engine, file, "int8")
    layers = session.census()
    session.close()
    convolutions = [layer for layer in layers if layer.convolves]
    assert len(convolutions) == 22
    assert {layer.precision for layer in convolutions} == {"int8"}


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_one_unquantized_convolution_is_found(file: Path, tmp_path: Path, engine: str) -> None:
    model = onnx.load(file)
    name = float_input(model)
    onnx.save(model, tmp_path / "one.onnx")
    session = open_session(engine, tmp_path / "one.onnx", "int8")
    (found,) = not_integer(session.census())
    session.close()
    if engine == "openvino":  # ONNX Runtime renames what it fuses
        assert found.name.startswith(name)


@pytest.mark.parametrize(("engine", "precision"), [("openvino", "fp32"), ("openvino", "bf16"), ("onnxruntime", "fp32")])
def test_what_is_not_quantized_runs_as_asked(efm: EFM, tmp_path: Path, engine: str, precision: str) -> None:
    if precision == "bf16" and not has_bf16():
        pytest.skip("this processor has no bf16")
    Exporter().write(efm, tmp_path / "efm.onnx", "efm", efm.stride)
    session = open_session(engine, tmp_path / "efm.onnx", precision)
    found = [layer for layer in session.census() if layer.convolves]
    session.close()
    assert len(found) == 12
    if precision == "fp32":
        assert {layer.precision for layer in found} == {"fp32"}
    assert not_integer(found) == found


def test_eager_pytorch_computes_in_fp32(default: torch.nn.Module) -> None:
    session = TorchSession(default, "fake-quant")
    assert {layer.precision for layer in session.census()} == {"fp32"}
    assert sum(layer.kind == "Conv2d" for layer in session.census()) == 22


def test_tensorrts_inspector_is_read() -> None:
    """Its JSON as NVIDIA documents it: layers with what they read; with less detail, names alone."""
    detailed = {
        "Layers": [
            {"Name": "stem", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Thirty-two wide Int8 format"}]},
            {"Name": "head", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Row major linear FP32"}]},
            {"Name": "gate", "LayerType": "PointWise", "Inputs": [{"Format/Datatype": "Half"}]},
            {"Name": "none", "LayerType": "NoOp", "Inputs": []},
        ]
    }
    layers = of_tensorrt(json.dumps(detailed))
    assert [layer.precision for layer in layers] == ["int8", "fp32", "fp16", "unknown"]
    assert not_integer(layers) == [Layer("head", "CaskConvolution", "fp32")]
    assert of_tensorrt(json.dumps({"Layers": ["stem"]})) == [Layer("stem", "unknown", "unknown")]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_an_engine_says_what_it_takes(file: Path, engine: str) -> None:
    session = open_session(engine, file, "int8")
    assert session.input_spec.name == "image"
    assert session.input_spec.accepts((1, 3, 48, 64))
    assert not session.input_spec.accepts((1, 1, 48, 64))
    session.close()
