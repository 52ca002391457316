"""The reach read off a graph is what the network does: perturbing a pixel changes no output further away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings, strategies as st
from onnx import TensorProto, helper, numpy_helper

from qdr.errors import QdrError
from qdr.restore.footprint import footprint

SIDE = 64
KEEP = st.sampled_from([("conv", 1, 1), ("conv", 3, 1), ("conv", 3, 2), ("conv", 5, 1)])
DOWN = st.sampled_from(["conv2", "conv4", "pool", "depth"])
UP = st.sampled_from(["nearest", "linear", "transposed2", "transposed4", "space"])


def network(parts: list[tuple[object, str, object, str]], last: object) -> onnx.ModelProto:
    """Size-preserving chains of one channel: (keep, down, keep, up), ..., keep; all weights positive, so nothing cancels."""
    nodes, constants, name = [], [], "image"

    def constant(array: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(array, f"c{len(constants)}"))
        return constants[-1].name

    def add(kind: str, *more: str, **attributes: object) -> None:
        nonlocal name
        made = f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, [name, *more], [made], **attributes))
        name = made

    def conv(
        kernel: int, step: int, pad: int, spread: int = 1, channels: tuple[int, int] = (1, 1), up: bool = False
    ) -> None:
        weight = constant(np.ones((*channels, kernel, kernel), np.float32))
        how = {"pads": [pad] * 4, "strides": [step] * 2, "dilations": [spread] * 2, "kernel_shape": [kernel] * 2}
        add("ConvTranspose" if up else "Conv", weight, **how)

    def keep(what: tuple[str, int, int]) -> None:
        conv(what[1], 1, what[2] * (what[1] // 2), what[2])

    for first, down, second, up in parts:
        keep(first)
        if down == "depth":
            add("SpaceToDepth", blocksize=2)
            conv(1, 1, 0, channels=(1, 4))
        elif down == "pool":
            add("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
        else:
            conv(int(down[-1]), 2, int(down[-1]) // 2 - 1)
        keep(second)
        if up == "space":
            conv(1, 1, 0, channels=(4, 1))
            add("DepthToSpace", blocksize=2, mode="CRD")
        elif up.startswith("transposed"):
            conv(int(up[-1]), 2, int(up[-1]) // 2 - 1, up=True)
        else:
            scales = constant(np.array([1, 1, 2, 2], np.float32))
            how = "asymmetric" if up == "nearest" else "half_pixel"
            add("Resize", "", scales, mode=up, nearest_mode="floor", coordinate_transformation_mode=how)
    keep(last)
    shape = ["n", 1, "h", "w"]
    given_, made = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("image", name))
    graph = helper.make_graph(nodes, "g", [given_], [made], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


@settings(max_examples=25)
@given(st.lists(st.tuples(KEEP, DOWN, KEEP, UP), min_size=1, max_size=2), KEEP)
def test_nothing_beyond_the_reach_changes_and_something_near_it_does(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[object, str, object, str]], last: object
) -> None:
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    onnx.save(network(parts, last), path)
    needs = footprint(path)
    assert needs.stride == 2
    assert needs.reach is not None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(image: np.ndarray) -> np.ndarray:
        return session.run(None, {"image": image[None, None]})[0][0, 0]

    flat = np.zeros((SIDE, SIDE), np.float32)
    farthest = 0
    for at in range(SIDE // 2, SIDE // 2 + 4):
        image = flat.copy()
        image[at, at] = 1
        rows = np.flatnonzero((run(image) != run(flat)).any(axis=1))
        farthest = max(farthest, int(np.abs(rows - at).max()))
    assert farthest <= needs.reach <= farthest + 3 * len(parts)


def test_the_models(fp32: Path, int8: Path, pooled: Path) -> None:
    a, b, c = footprint(fp32), footprint(int8), footprint(pooled)
    assert (a.quantized, b.quantized, c.quantized) == (False, True, False)
    assert (a.stride, b.stride, c.stride) == (8, 8, 2)
    assert a.reach == b.reach
    assert c.reach is None  # its attention averages over the image
    # Convolutions of 3x3 at 1/2, 1/4, 1/8 and again up, in pixels, and the halvings' own width.
    assert a.reach is not None
    assert 2 * (2 * 2 + 2 * 4) + 4 * 8 + 2 <= a.reach <= 2 * (2 * 2 + 2 * 4) + 4 * 8 + 2 + 8
    assert a.bytes_per_pixel == b.bytes_per_pixel < c.bytes_per_pixel


def test_the_reach_of_the_efm_is_that_of_its_gradient() -> None:
    import torch

    from qdr.export.qdq import Exporter
    from qdr.models.efm import EFM

    model = EFM((4, 4, 4), (1, 1, 2)).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.constant_(parameter, 0.01 if name.endswith("weight") else 1.0)  # every path open, none cancelling
    side = 192
    image = torch.full((1, 3, side, side), 0.75, requires_grad=True, dtype=torch.float32)
    far = 0
    for at in range(side // 2, side // 2 + 8):
        (gradient,) = torch.autograd.grad(model(image)[0, 0, at, at], image)
        seen = torch.nonzero(gradient.abs().amax(dim=(0, 1, 3))).flatten()
        far = max(far, at - int(seen.min()), int(seen.max()) - at)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Exporter().write(model, Path(folder) / "efm.onnx", "efm", 8)
        reach = footprint(Path(folder) / "efm.onnx").reach
    assert reach is not None
    assert far <= reach <= far + 8


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(QdrError, match=r"no\.onnx does not exist"):
        footprint(tmp_path / "no.onnx")
    for content in (b"", b"nonsense"):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(QdrError, match=r"bad\.onnx is not"):
            footprint(tmp_path / "bad.onnx")
