"""A planted set: each fault is found by its code, and a file that is in order has none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from PIL import Image
from torch import Tensor, nn

import qdr
from qdr.cli import main
from qdr.doctor.diagnosis import Diagnosis, diagnose
from qdr.doctor.half import overflow
from qdr.doctor.images import thin
from qdr.doctor.speed import LIMITS, Speed, Time, slow
from qdr.errors import QdrError
from qdr.export import mixed, numerics
from qdr.restore import pretrained
from qdr.runtimes.openvino import OpenVinoSession


class Residual(nn.Module):
    """Three convolutions that change an image by a few grey levels; `bias` is added to its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (
            nn.Conv2d(3, 16, 3, padding=1),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.Conv2d(16, 3, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.02 * self.c(torch.relu(self.b(torch.relu(self.a(x)))))


class Normalized(nn.Module):
    """Large activations before a normalization, decomposed or fused."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.a, self.c = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
        self.norm = nn.LayerNorm(8) if fused else None
        with torch.no_grad():
            self.a.weight.mul_(3000)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        if self.norm is not None:
            y = self.norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        else:
            centred = y - y.mean(1, keepdim=True)
            y = centred / (centred.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
        return x + 0.02 * self.c(y)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The FP32 file of `Residual` and its INT8 file."""
    torch.manual_seed(0)
    folder, model = tmp_path_factory.mktemp("doctor"), Residual().eval()
    images = [torch.rand(1, 3, 64, 64) for _ in range(4)]
    qdr.export_onnx(model, folder / "fp32.onnx", images[0])
    qdr.quantize(model, images)
    qdr.export_onnx(model, folder / "int8.onnx", images[0])
    return folder / "fp32.onnx", folder / "int8.onnx"


def rounded(model: onnx.ModelProto, scale: float) -> None:
    """Put a Q/DQ pair at the output."""
    (output,) = model.graph.output
    inner = f"{output.name}.inner"
    for node in model.graph.node:
        node.output[:] = [inner if name == output.name else name for name in node.output]
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in (("s", np.float32(scale)), ("z", np.int8(0)))
    )
    model.graph.node.extend(
        [
            helper.make_node("QuantizeLinear", [inner, "s", "z"], ["codes"]),
            helper.make_node("DequantizeLinear", ["codes", "s", "z"], [output.name]),
        ]
    )


def shifted(amounts: tuple[float, float, float]) -> Callable[[onnx.ModelProto], None]:
    """Add to the channels of the output."""

    def change(model: onnx.ModelProto) -> None:
        (output,) = model.graph.output
        for node in model.graph.node:
            node.output[:] = ["inner" if name == output.name else name for name in node.output]
        model.graph.initializer.append(numpy_helper.from_array(np.float32(amounts).reshape(1, 3, 1, 1), "shift"))
        model.graph.node.append(helper.make_node("Add", ["inner", "shift"], [output.name]))

    return change


def broken(model: onnx.ModelProto) -> None:
    """A weight that is no number."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims:
            value = numpy_helper.to_array(tensor).copy()
            value.flat[0] = np.nan
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
            return


def divided(model: onnx.ModelProto) -> None:
    """0 / 0 where an image is black."""
    (output,) = model.graph.output
    image = model.graph.input[0].name
    for node in model.graph.node:
        node.output[:] = ["inner" if name == output.name else name for name in node.output]
    model.graph.node.extend(
        [helper.make_node("Div", [image, image], ["one"]), helper.make_node("Mul", ["inner", "one"], [output.name])]
    )


def plant(source: Path, target: Path, *changes: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(source)
    for change in changes:
        change(model)
    onnx.save(model, target)
    return target


def codes(found: Diagnosis) -> set[str]:
    """The codes of wrong findings; how fast a network this small runs is chance."""
    return {finding.code for finding in found.findings if finding.kind == "wrong"}


def test_a_file_in_order_has_no_finding(files: tuple[Path, Path]) -> None:
    fp32, int8 = files
    found = diagnose(int8, 1, fp32=fp32)
    assert codes(found) == set()
    assert found.usable
    assert found.speed is not None
    assert {time.precision for time in found.speed.times} >= {"int8", "fp32"}
    assert found.speed.take is not None
    assert set(found.speed.shares) <= {"convolutions", *LIMITS}


@pytest.mark.slow
@pytest.mark.parametrize("path", pretrained.packaged("derain") + pretrained.packaged("lowlight"), ids=lambda path: path.name)
def test_packaged_files_are_in_order(path: Path) -> None:
    assert codes(diagnose(path, 1)) == set()


@pytest.mark.parametrize(
    ("change", "code", "compared"),
    [
        (lambda model: rounded(model, 0.9 / 127), "white", False),
        (lambda model: rounded(model, 1 / 20), "banding", False),
        (shifted((0.03, 0.0, -0.01)), "tint", True),
        (shifted((0.2, 0.0, -0.1)), "cast", False),
        (shifted((-0.03, -0.03, -0.03)), "dark", True),
        (broken, "nan", False),
        (divided, "nan", False),
    ],
    ids=["white", "banding", "tint", "cast", "dark", "nan", "zero-by-zero"],
)
def test_wrong_pictures_are_found(
    files: tuple[Path, Path], tmp_path: Path, change: Callable[[onnx.ModelProto], None], code: str, compared: bool
) -> None:
    fp32, int8 = files
    found = diagnose(plant(int8, tmp_path / "planted.onnx", change), 1, fp32=fp32 if compared else None)
    assert code in codes(found)
    assert found.usable == (code == "cast")  # which may be what the network means to do


@pytest.mark.parametrize("fused", [False, True])
def test_a_variance_that_overflows_fp16_is_found(fused: bool) -> None:
    torch.manual_seed(0)
    from qdr.export.qdq import program

    image = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    model = program(Normalized(fused).eval(), torch.from_numpy(image), {})
    (finding,) = overflow(model, image)
    assert finding.code == "fp16"
    assert "LayerNormalization" in finding.text or not fused
    assert overflow(model, image / 10000) == []


def test_a_wrong_engine_is_found(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    right = OpenVinoSession.run
    monkeypatch.setattr(OpenVinoSession, "run", lambda self, image: right(self, image) * 0.9)
    found = diagnose(files[1], 1)
    (finding,) = [finding for finding in found.findings if finding.code == "engine"]
    assert "openvino computes something else in int8 here" in finding.text
    assert "take onnxruntime" in finding.text
    assert found.usable  # another engine is right
    assert not next(time for time in found.speed.times if time.engine == "openvino" and time.precision == "int8").right  # type: ignore[union-attr]


def test_layers_in_float_are_found(files: tuple[Path, Path]) -> None:
    model = onnx.load(files[1])
    speed = Speed(64, 64, [Time("openvino", "int8", 1.0, True, 0, 0), Time("openvino", "fp32", 2.0, True, 0, 0)], {}, [])
    assert slow(model, speed) == []
    name = list(mixed.layers(model))[1]
    (finding,) = slow(mixed.in_float(model, [name], {}), speed)
    assert finding.code == "float"
    assert finding.text.startswith("73 % of the multiply-accumulates are not in INT8")
    swapped = replace(speed, times=[replace(time, milliseconds=3 - time.milliseconds) for time in speed.times])
    assert [f.code for f in slow(model, swapped)] == ["speed"]
    assert [f.code for f in slow(model, replace(speed, unfused=["a"]))] == ["unfused"]
    for kind in LIMITS:
        assert [f.code for f in slow(model, replace(speed, shares={kind: 0.9}))] == [kind]
    assert [f.code for f in slow(onnx.load(files[0]), speed)] == ["fp32"]


class Gated(nn.Module):
    """Two small convolutions and much that no engine takes into them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        for _ in range(8):
            y = y / (y.square().mean(1, keepdim=True) + 1e-3).sqrt() * torch.sigmoid(y)
        return x + 0.02 * self.c(y)


def between(model: onnx.ModelProto) -> None:
    """An operation between the quantized input of a convolution and the convolution: it cannot multiply integers."""
    name = list(mixed.layers(model))[1]
    (node,) = mixed.layers(model)[name]
    place = list(model.graph.node).index(node)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1.5), "factor"))
    before = helper.make_node("Mul", [node.input[0], "factor"], ["scaled"])
    model.graph.node[place].input[0] = "scaled"
    model.graph.node.insert(place, before)


def test_what_engines_do_not_fuse_is_found(files: tuple[Path, Path], tmp_path: Path) -> None:
    found = diagnose(plant(files[1], tmp_path / "between.onnx", between), 1)
    texts = {finding.code: finding.text for finding in found.findings if finding.kind == "slow"}
    assert "73 % of the multiply-accumulates are not in INT8" in texts["float"]
    torch.manual_seed(0)
    model, image = Gated().eval(), torch.rand(1, 3, 64, 64)
    qdr.quantize(model, [image])
    qdr.export_onnx(model, tmp_path / "gated.onnx", image)
    found = diagnose(tmp_path / "gated.onnx", 1)
    assert "other" in {finding.code for finding in found.findings if finding.kind == "slow"}


def test_a_file_without_its_rounding(files: tuple[Path, Path]) -> None:
    model, image = onnx.load(files[1]), np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    plain = mixed.in_reals(model)
    assert {node.op_type for node in plain.graph.node}.isdisjoint({"QuantizeLinear", "DequantizeLinear"})
    run = [
        numerics.exact_session(m.SerializeToString()).run(None, {"image": image})[0] for m in (plain, onnx.load(files[0]))
    ]
    assert np.abs(run[0] - run[1]).max() < 2e-4  # weights are rounded, activations are not


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "frames", np.random.default_rng(0)
    folder.mkdir()
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (70, 90, 3), np.uint8)).resize((90, 70)).save(folder / f"good{i}.png")
    return folder


def test_calibration_images_in_order(frames: Path) -> None:
    for i in range(8):  # noise is alike from afar: scenes differ in brightness
        image = np.asarray(Image.open(frames / f"good{i}.png")) // 2 + 12 * i
        Image.fromarray(image.astype(np.uint8)).save(frames / f"good{i}.png")
    found, images = thin(frames)
    assert found == []
    assert len(images) == 8


def test_thin_images_are_found(frames: Path) -> None:
    good = np.asarray(Image.open(frames / "good0.png"))
    for i in range(1, 8):
        (frames / f"good{i}.png").unlink()
    bars = good.copy()
    bars[:10], bars[-10:] = 0, 0
    ramp = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, :, None] * 4, (60, 60, 3))
    planted = {"black": good * 0, "flat": np.full_like(good, 90), "bars": bars, "small": ramp, "twice": good}
    for name, image in planted.items():
        Image.fromarray(np.ascontiguousarray(image)).save(frames / f"{name}.png")
    (frames / "torn.png").write_bytes((frames / "bars.png").read_bytes()[:200])
    found = {finding.code: finding.text for finding in thin(frames)[0]}
    assert set(found) == {"few", "unreadable", "small", "twice", "black", "flat", "bars"}
    for code in ("small", "twice", "black", "flat", "bars"):
        assert found[code].startswith(f"{code}.png")
    assert found["unreadable"].startswith("torn.png")


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(QdrError, match="holds no image that can be read"):
        thin(tmp_path)


def test_the_verb(files: tuple[Path, Path], frames: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    planted = plant(files[1], tmp_path / "planted.onnx", lambda model: rounded(model, 0.9 / 127))
    given = ["doctor", str(planted), "--images", str(frames), "--fp32", str(files[0]), "--threads", "1"]
    assert main(given) == 1
    text = capsys.readouterr().out
    assert "white is not reached" in text.replace("\n", " ")
    assert "Take" in text
    assert main([*given, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert "white" in {finding["code"] for finding in found["findings"]}
    assert {"engines", "speed", "take"} <= set(found)
    assert main(["doctor", "--images", str(frames)]) == 2
    assert "go with a file" in capsys.readouterr().err
