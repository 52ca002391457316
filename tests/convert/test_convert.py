from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from qdr.cli import main
from qdr.convert.budget import MOST, keep_within
from qdr.convert.frames import read_frames
from qdr.convert.judge import Judge, Score
from qdr.errors import QdrError
from qdr.export import mixed, numerics
from qdr.export.calibrated import quantize_onnx
from qdr.export.check import check_tensorrt
from qdr.export.write import export_onnx
from qdr.runtimes.verify import ORDER, verify


class Small(nn.Module):
    """Two levels, a normalization and a transposed convolution; `spread` makes one layer hard to quantize."""

    def __init__(self, spread: float = 1.0) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.norm, self.hard = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)
        self.up, self.c = nn.ConvTranspose2d(8, 8, 2, stride=2), nn.Conv2d(8, 3, 3, padding=1)
        with torch.no_grad():
            self.b.weight[0] *= spread  # one channel of large values before the hard layer, of small weights in it
            self.hard.weight[:, 0] /= spread

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.b(torch.relu(self.a(x)))))
        return x + 0.3 * self.c(torch.relu(self.up(torch.relu(self.hard(y)))))


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("frames", "clean"):
        (tmp_path / name).mkdir()
    for i in range(6):
        ramp = np.linspace(20, 230, 70)
        clean = np.stack([ramp[:, None] * 0.6 + ramp[None, :] * 0.4 + 5 * i - 9 * c for c in range(3)], axis=2)
        for name, image in (("clean", clean), ("frames", clean + rng.normal(0, 12, clean.shape))):
            Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    return tmp_path / "frames"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The FP32 file of a network with one hard layer."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("fp32") / "fp32.onnx"
    export_onnx(Small(200.0).eval(), path, torch.rand(1, 3, 64, 64))
    return path


def images(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(1).random((count, 1, 3, 64, 64), np.float32))


def run(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    restored: np.ndarray = numerics.exact_session(model.SerializeToString()).run(None, {"image": image})[0]
    return restored


def test_a_file_is_quantized_on_its_graph(file: Path, tmp_path: Path) -> None:
    source = onnx.load(file)
    model, real, floats = quantize_onnx(source, images(2), "W8A8")
    assert floats == []
    assert len(mixed.layers(model)) == len(real) == 5
    assert check_tensorrt(model) == []
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
    difference = np.abs(run(model, images(1)[0]) - run(source, images(1)[0]))
    assert 1e-4 < difference.max() < 0.5
    onnx.save(model, tmp_path / "int8.onnx")
    assert verify(tmp_path / "int8.onnx", ORDER[-1], "int8", 1).right
    seven, _, _ = quantize_onnx(source, images(2), "W7A8")
    assert numerics.fits_16_bits(seven)
    assert not numerics.fits_16_bits(model)
    with pytest.raises(QdrError, match="quantized already"):
        quantize_onnx(model, images(1), "W8A8")


def test_layers_go_back_into_floating_point(file: Path) -> None:
    source, image = onnx.load(file), images(1)[0]
    model, real, _ = quantize_onnx(source, images(2), "W8A8")
    every = mixed.in_float(model, list(real), real)
    np.testing.assert_allclose(run(every, image), run(source, image), atol=1e-4)
    assert {node.op_type for node in every.graph.node}.isdisjoint({"QuantizeLinear", "DequantizeLinear"})
    np.testing.assert_array_equal(run(mixed.in_float(model, [], real), image), run(model, image))
    one = next(iter(real))
    rounded, exact = mixed.in_float(model, [one], {}), mixed.in_float(model, [one], real)
    assert 0 < np.abs(run(rounded, image) - run(exact, image)).max() < 0.1


def test_multiply_accumulates_are_counted(file: Path) -> None:
    model, _, _ = quantize_onnx(onnx.load(file), images(1), "W8A8")
    counts = sorted(mixed.macs(model, 64).values())
    assert counts == sorted([64 * 64 * 27 * 8, 32 * 32 * 72 * 8, 32 * 32 * 64, 32 * 32 * 8 * 8 * 4, 64 * 64 * 72 * 3])


class Shuffled(nn.Module):
    """Sizes that the graph computes by itself, which shape inference does not follow."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(12, 12, 3, padding=1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(nn.functional.pixel_shuffle(self.a(nn.functional.pixel_unshuffle(x, 2)), 2))


def test_work_is_counted_where_the_graph_computes_sizes(tmp_path: Path) -> None:
    export_onnx(Shuffled().eval(), tmp_path / "shuffled.onnx", torch.rand(1, 3, 64, 64))
    model, _, _ = quantize_onnx(onnx.load(tmp_path / "shuffled.onnx"), images(1), "W8A8")
    assert sorted(mixed.macs(model, 64).values()) == sorted([32 * 32 * 12 * 12 * 9, 64 * 64 * 9])


def test_the_hard_layers_are_kept_and_no_more(file: Path) -> None:
    source = onnx.load(file)
    model, real, _ = quantize_onnx(source, images(2), "W8A8")
    session = numerics.exact_session(source.SerializeToString())
    pixels = [np.rint(image[0].transpose(1, 2, 0) * 255).astype(np.uint8) for image in images(2)]
    judge = Judge(pixels, [], lambda batch: session.run(None, {"image": batch})[0], 30.0)

    def confirm(candidate: onnx.ModelProto) -> Score:
        own = numerics.exact_session(candidate.SerializeToString())
        return judge.score(lambda batch: own.run(None, {"image": batch})[0], "exact")

    whole = confirm(model).drop
    found = keep_within(model, real, judge, whole / 4, confirm, 64, lambda *_: None)
    assert found.score.drop <= whole / 4
    assert 0 < len(found.kept) < len(real)
    assert found.kept[0].gain == max(layer.gain for layer in found.kept)
    assert sum(layer.share for layer in found.kept) <= MOST
    nearest = keep_within(model, real, judge, 0.0, confirm, 64, lambda *_: None)
    assert 0 < nearest.score.drop < whole


def test_the_drop_is_that_of_independent_errors() -> None:
    rng = np.random.default_rng(0)
    truth = np.clip(rng.normal(128, 20, (256, 256, 3)), 40, 215)
    first = truth + rng.normal(0, 8, truth.shape)
    fp32, both = (np.rint(x).astype(np.uint8) for x in (first, first + rng.normal(0, 4, truth.shape)))
    answer = {False: fp32, True: both}

    def network(quantized: bool) -> object:
        return lambda batch: answer[quantized].transpose(2, 0, 1)[None].astype(np.float32) / 255

    clean = np.rint(truth).astype(np.uint8)
    known = 10 * math.log10(255**2 / np.square(fp32.astype(float) - clean).mean())
    exact = Judge([clean], [clean], network(False), 30.0).score(network(True), "x").drop  # type: ignore[arg-type]
    assumed = Judge([clean], [], network(False), known).score(network(True), "x")  # type: ignore[arg-type]
    assert exact == pytest.approx(10 * math.log10(1 + 4**2 / 8**2), abs=0.03)
    assert assumed.drop == pytest.approx(exact, abs=0.03)
    assert assumed.agreement == pytest.approx(10 * math.log10(255**2 / 16), abs=0.1)
    assert Judge([clean], [], network(False), 30.0).score(network(False), "x").drop == 0  # type: ignore[arg-type]


def test_images_held_back_are_not_trained_on(frames: Path) -> None:
    found = read_frames(frames, frames.parent / "clean", 3)
    assert (len(found.training), len(found.held), len(found.targets), found.side) == (4, 2, 2, 64)
    first = np.asarray(Image.open(frames / "0.png"))
    assert not any(np.array_equal(first, image) for image in found.training)
    assert np.array_equal(found.held[0], first[3:67, 3:67])
    assert found.batch(0, 2, 32).shape == (2, 3, 32, 32)
    assert torch.equal(found.batch(5, 2, 32), found.batch(5, 2, 32))
    assert read_frames(frames, None, 1).calibration()[0].shape == (1, 1, 64, 64)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save({"params": Small(30.0).state_dict()}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


FACTORY = f"{__file__}:Small"


def quantize(model: Path, frames: Path, out: Path, *more: str) -> int:
    return main(["quantize", str(model), "--images", str(frames), "--out", str(out), "--threads", "1", *more])


@pytest.mark.slow
def test_a_checkpoint_becomes_a_judged_file(
    checkpoint: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")  # no project here
    out = tmp_path / "made" / "net.onnx"
    assert quantize(checkpoint, frames, out, "--factory", FACTORY, "--steps", "4", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["final"]["drop"] == min(record["ptq"]["drop"], record["qdr"]["drop"])
    assert verify(out, ORDER[-1], "int8", 1).right
    assert quantize(out, frames, tmp_path / "again.onnx") == 2
    assert "quantized already" in capsys.readouterr().err
    assert quantize(checkpoint, frames, out, "--factory", FACTORY) == 2
    assert "is there: name another file, or add --force" in capsys.readouterr().err


@pytest.mark.slow
def test_a_budget_is_kept_or_the_nearest_is_said(
    file: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "plain.onnx"
    assert quantize(file, frames, plain, "--json") == 0
    drop = json.loads(capsys.readouterr().out)["final"]["drop"]
    assert quantize(file, frames, tmp_path / "kept.onnx", "--max-drop", str(drop / 2)) == 0
    said = capsys.readouterr().out
    assert "Kept in floating point" in said
    assert quantize(file, frames, tmp_path / "near.onnx", "--max-drop", "0") == 1
    assert "this file is the nearest" in capsys.readouterr().out
    assert (tmp_path / "near.onnx").is_file()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--out", "net.txt"], "what is written is an ONNX file"),
        (["--bits", "W4A4"], "unknown bits of INT8 engines 'W4A4'"),
        (["--steps", "-1"], "must not be negative"),
        (["--task", "derain"], "one of them"),
        ([], "say with --factory"),
        (["--factory", FACTORY, "--images", "nowhere"], "nowhere is no folder"),
    ],
)
def test_mistakes(
    checkpoint: Path,
    frames: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    assert quantize(checkpoint, frames, tmp_path / "out.onnx", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()


def test_the_model_is_never_replaced(file: Path, frames: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = file.read_bytes()
    assert quantize(file, frames, file, "--force") == 2
    assert "is the model itself" in capsys.readouterr().err
    assert file.read_bytes() == before
