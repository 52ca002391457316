from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from qdr.errors import QdrError
from qdr.export.half import to_fp16, write_fp16
from qdr.export.qdq import Exporter
from qdr.models.efm import EFM
from qdr.runtimes.ort import load_on_cpu


@pytest.fixture
def fp32(efm: EFM, tmp_path: Path) -> Path:
    Exporter().write(efm, tmp_path / "fp32.onnx", "efm", efm.stride)
    return tmp_path / "fp32.onnx"


@pytest.mark.parametrize("size", [(32, 32), (24, 56)])
def test_the_picture_stays(fp32: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    write_fp16(fp32, tmp_path / "fp16.onnx")
    image = np.random.default_rng(0).random((1, 3, *size), np.float32)
    whole, half = (load_on_cpu(path, 1).run(None, {"image": image})[0] for path in (fp32, tmp_path / "fp16.onnx"))
    assert half.dtype == np.float32
    error = np.mean((np.clip(whole, 0, 1) - np.clip(half, 0, 1)) ** 2)
    assert 0 < error < 10 ** (-60 / 10)


def test_everything_but_the_ends_is_fp16(fp32: Path) -> None:
    half = onnx.shape_inference.infer_shapes(to_fp16(onnx.load(fp32)), strict_mode=True).graph
    assert half.input[0].type.tensor_type.elem_type == half.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    types = {value.name: value.type.tensor_type.elem_type for value in half.value_info}
    made = {types[name] for node in half.node[:-1] for name in node.output if types[name] != TensorProto.INT64}
    assert made == {TensorProto.FLOAT16}
    weights = {node.input[i] for node in half.node if node.op_type == "Conv" for i in (1, 2)}
    assert {t.data_type for t in half.initializer if t.name in weights} == {TensorProto.FLOAT16}


def test_what_has_no_fp16_form(fp32: Path) -> None:
    model = onnx.load(fp32)
    tensor = next(t for t in model.graph.initializer if t.name == "stem.bias")
    tensor.CopyFrom(numpy_helper.from_array(np.full(16, 1e5, np.float32), "stem.bias"))
    with pytest.raises(QdrError, match=r"stem\.bias holds 100000: FP16 ends at 65504"):
        to_fp16(model)
    model.graph.node.append(onnx.helper.make_node("QuantizeLinear", ["restored", "a", "b"], ["c"]))
    with pytest.raises(QdrError, match="this one is quantized"):
        to_fp16(model)
