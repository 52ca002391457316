"""ONNX files of other tools: names, sizes, batches, layouts, types, ranges and external data; right answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdr.errors import QdrError
from qdr.export.foreign import own_form
from qdr.restore.restorer import Restorer

SPANS = {"0-1": (1.0, 0.0), "0-255": (255.0, 0.0), "signed": (2.0, -1.0)}
TYPES = {"float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
RNG = np.random.default_rng(0)


def limit(
    path: Path,
    shape: tuple[Any, ...] = ("n", 3, "h", "w"),
    span: str = "0-1",
    kind: str = "float",
    metadata: dict[str, str] | None = None,
    divides: bool = False,
    legacy: bool = False,
    location: str = "",
) -> Path:
    """A model that limits every pixel to 128 of 255 and adds half of that to its last channel: order and range matter."""
    last, kernel = shape[-1] == 3 and shape[1] != 3, np.zeros((3, 3, 3, 3), np.float32)
    kernel[range(3), range(3), 1, 1] = 1
    gain, shift = SPANS[span]
    top = 128 / 255 if divides else gain * 128 / 255 + shift
    values = {"kernel": kernel, "top": np.float32(top), "first": np.float32([1, 1, 0.5]).reshape(1, 3, 1, 1)}
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    steps += [("Cast", [], {"to": TensorProto.FLOAT})] if kind != "float" else []
    steps += [("Div", ["full"], {})] if divides else []
    steps += [("Transpose", [], {"perm": [0, 3, 1, 2]})] if last else []
    steps += [("Conv", ["kernel"], {"pads": [1] * 4}), ("Min", ["top"], {})]
    if span == "0-1" and kind == "float":
        steps.append(("Mul", ["first"], {}))
    steps += [("Transpose", [], {"perm": [0, 2, 3, 1]})] if last else []
    steps += [("Mul", ["full"], {})] if divides else []
    steps += [("Cast", [], {"to": TYPES[kind]})] if kind != "float" else []
    values |= {"full": np.float32(255)}
    nodes, x = [], "input.1"
    for i, (name, constants, attributes) in enumerate(steps):
        made = "output" if i == len(steps) - 1 else f"t{i}"
        nodes.append(helper.make_node(name, [x, *constants], [made], **attributes))
        x = made
    used = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items() if name in used]
    inputs = [helper.make_tensor_value_info("input.1", TYPES[kind], shape)]
    if legacy:  # IR 3 listed every weight as an input
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in stored]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("output", TYPES[kind], shape)], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path, save_as_external_data=bool(location), location=location or None, size_threshold=0)
    return path


def restored(path: Path, pixels: Any, **how: Any) -> tuple[Any, list[str]]:
    with Restorer(model=path, engine="onnxruntime", threads=1, **how) as model:
        return model(pixels), model.notes


def right(pixels: Any, halved: bool) -> Any:
    """What `limit` makes of uint8 pixels."""
    limited = np.minimum(pixels, 128).astype(float)
    return np.rint(limited * [1, 1, 0.5 if halved else 1]).astype(np.uint8)


PIXELS = RNG.integers(0, 256, (70, 50, 3), np.uint8)


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"shape": (1, 3, 32, 64)},
        {"shape": (4, 3, "h", "w")},
        {"shape": (2, 3, 64, 32)},
        {"shape": ("n", "h", "w", 3)},
        {"shape": (3, 48, 32, 3)},
        {"span": "0-255", "divides": True},
        {"span": "0-255", "metadata": {"Image.NominalPixelRange": "NominalRange_0_255"}},
        {"span": "signed", "metadata": {"Image.NominalPixelRange": "Normalized_1_1"}},
        {"kind": "float16"},
        {"kind": "uint8", "span": "0-255"},
        {"kind": "uint8", "span": "0-255", "shape": (1, 64, 64, 3)},
        {"legacy": True},
        {"location": "weights.bin"},
    ],
    ids=lambda about: "-".join(map(str, about.values())) or "plain",
)
def test_what_a_file_says_is_done(tmp_path: Path, about: dict[str, Any]) -> None:
    found, notes = restored(limit(tmp_path / "m.onnx", **about), PIXELS)
    halved = about.get("span", "0-1") == "0-1" and about.get("kind", "float") == "float"
    assert np.abs(found.astype(int) - right(PIXELS, halved)).max() <= (about.get("kind") == "float16")
    silent = "span" in about
    assert ("does not say what its values run over: 0-1 is assumed" in " ".join(notes)) == (not silent)


@pytest.mark.parametrize("span", ["0-255", "signed"])
def test_a_range_that_a_file_does_not_say_is_asked_for(tmp_path: Path, span: str) -> None:
    path = limit(tmp_path / "m.onnx", span=span)
    found, notes = restored(path, PIXELS, values=span)
    assert np.array_equal(found, right(PIXELS, False))
    assert notes == []


def test_a_picture_of_other_values_is_refused_with_the_option(tmp_path: Path) -> None:
    path = limit(tmp_path / "m.onnx", divides=True)
    with pytest.raises(QdrError, match=r"makes values of .* say what its values run over with --values"):
        restored(path, PIXELS, values="0-255:0-1")
    with pytest.raises(QdrError, match="unknown range of values '0-256': did you mean '0-255'"):
        restored(path, PIXELS, values="0-256")


def test_channels_of_a_file_for_bgr_are_swapped(tmp_path: Path) -> None:
    path = limit(tmp_path / "m.onnx", metadata={"Image.BitmapPixelFormat": "Bgr8"})
    found, _ = restored(path, PIXELS)
    assert np.array_equal(found, right(PIXELS[..., ::-1], True)[..., ::-1])


def test_sixteen_bits_survive_the_change_of_range(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 32768, (40, 40, 3), np.uint16)
    found, _ = restored(limit(tmp_path / "m.onnx", span="signed"), pixels, values="signed")
    assert np.abs(found.astype(int) - pixels).max() <= 1


@pytest.mark.parametrize(
    ("shape", "kind", "said"),
    [
        ((1, 1, "h", "w"), "float", r"takes 'input.1' of \[1, 1, \?, \?\]: an RGB picture"),
        ((1, 4, 64, 64), "float", r"takes 'input.1' of \[1, 4, 64, 64\]: an RGB picture"),
        ((1, 3, 8, 64, 64), "float", r"takes 'input.1' of \[1, 3, 8, 64, 64\]: an RGB picture"),
    ],
)
def test_other_models_are_refused_in_a_line(tmp_path: Path, shape: Any, kind: str, said: str) -> None:
    with pytest.raises(QdrError, match=said), own_form(limit(tmp_path / "m.onnx", shape, kind=kind)):
        pass


def test_two_inputs_are_named(tmp_path: Path) -> None:
    model = onnx.load(limit(tmp_path / "m.onnx"))
    model.graph.input.append(helper.make_tensor_value_info("sigma", TensorProto.FLOAT, [1]))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(QdrError, match=r"takes 'input.1', 'sigma' and gives 'output': a model of one picture in"):
        restored(tmp_path / "m.onnx", PIXELS)


def test_external_data_is_read_beside_the_file_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    path, data = limit(folder / "m.onnx", location="m.onnx.data"), folder / "m.onnx.data"
    whole = data.read_bytes()
    data.write_bytes(whole[:20])
    with pytest.raises(QdrError, match=r"m.onnx does not go with m.onnx.data"):
        restored(path, PIXELS)
    data.rename(tmp_path / "m.onnx.data")
    with pytest.raises(QdrError, match=r"keeps its weights in m.onnx.data, which is not beside it: copy that file there"):
        restored(path, PIXELS)
    data.symlink_to(tmp_path / "m.onnx.data")
    with pytest.raises(QdrError, match="in another file: export it as one file"):
        restored(path, PIXELS)
