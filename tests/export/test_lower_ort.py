from __future__ import annotations

from collections import Counter
from pathlib import Path

import hypothesis
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from qdr.export.lower_ort import lower
from qdr.export.qdq import Exporter
from qdr.models.efm import EFM, Gating
from qdr.models.peers.nafnet import NAFNet
from tests.networks import quantized, small_efm

Image = np.ndarray


def run(model: onnx.ModelProto, image: Image) -> Image:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    restored: Image = session.run(None, {"image": image})[0]
    return restored


def exported(model: torch.nn.Module, path: Path, stride: int) -> onnx.ModelProto:
    Exporter().write(model, path, "model", stride)
    return onnx.load(path)


def photograph(name: str) -> Image:
    from skimage import data

    image = getattr(data, name)()[64:320, 64:320]
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def with_dyadic_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same file, every scale a power of two and every bias on the grid of its sums: FP32 arithmetic is then exact."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    new = {n.input[1]: np.exp2(np.round(np.log2(values[n.input[1]]))).astype(np.float32) for n in makers.values()
           if n.op_type == "DequantizeLinear"}  # fmt: skip
    for node in model.graph.node:
        if node.op_type == "Conv":
            step = new[makers[node.input[0]].input[1]] * new[makers[node.input[1]].input[1]]
            new[node.input[2]] = (np.round(values[node.input[2]] / step) * step).astype(np.float32)
    for tensor in model.graph.initializer:
        if tensor.name in new:
            tensor.CopyFrom(numpy_helper.from_array(new[tensor.name], tensor.name))
    return model


@pytest.mark.parametrize("gating", ["none", "every"])
def test_where_fp32_sums_are_exact_every_bit_stays(tmp_path: Path, gating: Gating) -> None:
    torch.manual_seed(0)
    model = EFM((16, 32), (1, 1), gating=gating)
    for parameter in model.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter).data.mul_(0.5)
    image = photograph("astronaut")
    file = with_dyadic_scales(exported(quantized(model, [torch.from_numpy(image)]), tmp_path / "efm.onnx", model.stride))
    before, after = run(file, image), run(lower(file), image)
    assert np.abs(before - image).mean() > 0.02  # it does something
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_on_photographs_single_roundings_flip_and_no_more(tmp_path: Path, name: str) -> None:
    image = photograph(name)
    model = quantized(small_efm(0.3), [torch.from_numpy(image)])
    file = exported(model, tmp_path / "efm.onnx", 4)
    before, after = (np.rint(np.clip(run(each, image), 0, 1) * 255) for each in (file, lower(file)))
    levels = np.abs(before - after)
    assert levels.max() <= 1
    assert levels.mean() < 0.01


def pair(relu: bool, scale: float, shape: tuple[int, ...]) -> onnx.ModelProto:
    """[image -> (ReLU) -> Q -> DQ]."""
    source = "positive" if relu else "image"
    nodes = [helper.make_node("Relu", ["image"], ["positive"], name="relu")] if relu else []
    nodes += [
        helper.make_node("QuantizeLinear", [source, "scale", "zero"], ["codes"], name="quantize"),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["restored"], name="dequantize"),
    ]
    graph = helper.make_graph(
        nodes,
        "pair",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("restored", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.float32(scale), "scale"), numpy_helper.from_array(np.int8(0), "zero")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


@hypothesis.given(
    relu=st.booleans(),
    scale=st.floats(2**-13, 8, width=32),
    values=st.lists(st.floats(-1000, 1000, width=32, allow_subnormal=False), min_size=1, max_size=40),
)
def test_a_grid_keeps_its_codes_and_its_saturation(relu: bool, scale: float, values: list[float]) -> None:
    image = np.array(values, np.float32)
    file = pair(relu, scale, image.shape)
    np.testing.assert_array_equal(run(lower(file), image), run(file, image))


def test_every_convolution_runs_on_integers(tmp_path: Path) -> None:
    file = lower(exported(quantized(small_efm()), tmp_path / "efm.onnx", 4))
    counts = Counter(node.op_type for node in file.graph.node)
    assert counts["Conv"] + counts["MatMulIntegerToFloat"] == 12
    assert counts["MatMulIntegerToFloat"] == 6  # three residual blocks, a gate of two, the head
    onnx.checker.check_model(file)
    made = [name for node in file.graph.node for name in node.output]
    read = {name for node in file.graph.node for name in node.input} | {"restored"}
    assert set(made) <= read  # nothing is left over
    assert {t.name for t in file.graph.initializer} <= read


def test_a_network_not_made_for_it(tmp_path: Path) -> None:
    """Grouped convolutions keep FP32 arithmetic; the picture stays."""
    torch.manual_seed(0)
    model = NAFNet(width=8, levels=1)
    for name, parameter in model.named_parameters():
        if name.endswith(("beta", "gamma")):
            torch.nn.init.constant_(parameter, 0.2)
    image = photograph("astronaut")[:, :, :64, :64]
    file = exported(quantized(model, [torch.from_numpy(image)]), tmp_path / "naf.onnx", 2)
    lowered = lower(file)
    assert any(node.op_type == "Conv" for node in lowered.graph.node)
    difference = np.abs(run(lowered, image) - run(file, image)) * 255
    assert difference.mean() < 0.05


def test_an_fp32_file_comes_back_unchanged(efm: EFM, tmp_path: Path) -> None:
    file = exported(efm, tmp_path / "efm.onnx", efm.stride)
    assert lower(file) == file


def test_asymmetric_codes_of_another_tool_stay_as_they_are() -> None:
    file = pair(True, 0.1, (4,))
    file.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.uint8(7), "zero"))
    assert [node.op_type for node in lower(file).graph.node] == ["Relu", "QuantizeLinear", "DequantizeLinear"]
    image = np.array([-1, 0, 3, 30], np.float32)
    np.testing.assert_array_equal(run(lower(file), image), run(file, image))
