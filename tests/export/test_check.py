from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from qdr.export.check import census, check_tensorrt, parse_with_tensorrt_rtx
from qdr.export.qdq import Exporter
from qdr.methods import Recipe
from qdr.models.efm import EFM
from qdr.quant.prepare import calibrate, prepare


@pytest.fixture
def exported(efm: EFM, tmp_path: Path) -> Path:
    prepare(efm, "W8A8", Recipe("", quantizer="lsq", observer="minmax"))
    calibrate(efm, [torch.rand(1, 3, 32, 32)])
    Exporter().write(efm, tmp_path / "efm.onnx", "efm", efm.stride)
    return tmp_path / "efm.onnx"


def test_every_convolution_is_quantized_and_every_rule_kept(exported: Path) -> None:
    model = onnx.load(exported)
    counts = census(model)
    assert counts["quantized convolutions"] == counts["Conv"] == 12
    assert counts["FP32 convolutions"] == 0
    assert check_tensorrt(model) == []


def change(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(value, name))
            return
    raise AssertionError(f"no initializer {name}")


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.float32(0), "scales must be positive"), (np.float32(-1), "scales must be positive")],
)
def test_bad_scales_are_named(exported: Path, value: np.float32, message: str) -> None:
    model = onnx.load(exported)
    change(model, "point_stem.scale", np.asarray(value))
    assert any(message in line for line in check_tensorrt(model))


@pytest.mark.parametrize(
    ("zero", "message"),
    [(np.asarray(3, np.int8), "zero points must be 0"), (np.asarray(0, np.uint8), "signed int8, not uint8")],
)
def test_bad_zero_points_are_named(exported: Path, zero: np.ndarray, message: str) -> None:
    model = onnx.load(exported)
    node = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    model.graph.initializer.append(numpy_helper.from_array(zero, "bad_zero"))
    node.input[2] = "bad_zero"
    assert any(message in line for line in check_tensorrt(model))


def test_a_dequantized_bias_and_a_wrong_axis_are_named(exported: Path) -> None:
    model = onnx.load(exported)
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    weight = next(node for node in model.graph.node if node.output[0] == conv.input[1])
    conv.input[2] = weight.output[0]
    next(a for a in weight.attribute if a.name == "axis").i = 1
    lines = " ".join(check_tensorrt(model))
    assert "bias must be FP32" in lines
    assert "along axis 0, not 1" in lines


def test_tensorrts_own_parser_accepts_the_file(exported: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="the extra trt-check is not installed")
    assert parse_with_tensorrt_rtx(exported) == []
