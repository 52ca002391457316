"""The pages add-*.md, followed to the letter: each example trains, exports or restores as they say."""

from __future__ import annotations

import copy
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from qdr.distill.distances import DISTANCES
from qdr.export.qdq import Exporter
from qdr.images.pairs import match
from qdr.models.blocks import stride
from qdr.models.efm import EFM
from qdr.quant.layers import QuantConv2d
from qdr.quant.prepare import calibrate, prepare, quantized_layers
from qdr.runtimes import session
from qdr.runtimes.session import open_session, restore
from qdr.runtimes.torch_eager import TorchSession
from qdr.suite import config, paths
from qdr.suite.data import degrade as degradations
from qdr.suite.data.datacard import data_card
from qdr.suite.data.prepare import prepare as prepare_pairs
from qdr.suite.data.tasks import load_cards
from qdr.suite.methods import catalogue, recipe
from qdr.suite.modelcard import PURPOSE
from qdr.suite.report.quality import TASK_LABELS
from qdr.suite.train.objective import Objective
from qdr.suite.zoo import build_model
from tests.docs.pages import DOCS, block, entry
from tests.networks import quantized, small_efm

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)


def step(method: str, student: EFM) -> dict[str, float]:
    """One training step of a method on a small EFM, its FP32 copy the teacher; what was logged."""
    torch.manual_seed(0)
    objective = Objective(recipe(method), student, copy.deepcopy(student), 1)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(1.01)  # quantization's errors stand in: the student is no longer its teacher
    log = objective.backward(student, torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32), 0, False)
    assert all(math.isfinite(value) for value in log.values())
    return log


def test_a_quantizer(extended: Path, tmp_path: Path) -> None:
    model = prepare(small_efm(), "W8A8", recipe("qat-pow2").quantization)
    calibrate(model, [torch.rand(1, 3, 32, 32)])
    for layer in quantized_layers(model):
        exponents = torch.log2(layer.quantizer.scale(torch.empty(0)))
        assert torch.allclose(exponents, exponents.round(), atol=1e-5)


def test_a_distance_and_a_place(extended: Path, efm: EFM) -> None:
    gram = DISTANCES["gram"]
    x, y = torch.randn(2, 2, 4, 8, 8)
    assert float(gram(x, x)) == 0
    assert float(gram(x.flip(3), x)) == pytest.approx(0, abs=1e-6)  # where a feature stands does not matter
    assert float(gram(x, y)) > 0
    assert step("qdr-gram", copy.deepcopy(efm))["loss_bottleneck"] > 0
    log = step("qat-kd-sides", efm)
    assert log["loss_sides"] > 0
    assert log["weight_sides"] == pytest.approx(0.004)


def test_a_balancer(extended: Path, efm: EFM) -> None:
    weights = step("qdr-rlw", efm)
    assert weights["weight_rec"] + weights["weight_bottleneck"] / 0.02 == pytest.approx(2)
    assert weights["weight_rec"] not in (0, 1)


def test_a_model(extended: Path, settings: config.Config, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model(catalogue()["qat-srcnn"].model, settings.model).eval()
    assert model(torch.rand(1, 3, 15, 17)).shape == (1, 3, 15, 17)
    prepare(model, "W8A8", recipe("qat-srcnn").quantization)
    calibrate(model, [torch.rand(1, 3, 32, 32)])
    assert sum(isinstance(module, QuantConv2d) for module in model.modules()) == 3
    faked = restore(TorchSession(model, "fake-quant"), IMAGE).astype(int)
    Exporter().write(model, tmp_path / "srcnn.onnx", "srcnn", stride(model))
    engine = restore(open_session("onnxruntime", tmp_path / "srcnn.onnx"), IMAGE)
    assert np.abs(engine - faked).max() <= 1


def test_a_task(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, object] = {"__name__": "qdr.suite.data.degrade.motion_blur"}
    monkeypatch.setitem(sys.modules, "qdr.suite.data.degrade.motion_blur", ModuleType("qdr.suite.data.degrade.motion_blur"))
    module = sys.modules["qdr.suite.data.degrade.motion_blur"]
    exec(block("add-a-task", "python"), vars(module))
    for name, function in entry(block("add-a-task", "text"), vars(module) | names).items():
        monkeypatch.setitem(degradations.DEGRADATIONS, name, function)
    tasks, label, purpose = block("add-a-task", "text", 1).strip().splitlines()
    monkeypatch.setattr(config, "TASKS", eval(tasks.removeprefix("TASKS = ")))
    assert entry(label.removeprefix("TASK_LABELS: "), {}).keys() == {"deblur"} == set(config.TASKS) - TASK_LABELS.keys()
    assert entry(purpose.removeprefix("PURPOSE: "), {}).keys() == {"deblur"} == set(config.TASKS) - PURPOSE.keys()
    params, added = yaml.safe_load(Path("params.yaml").read_text()), yaml.safe_load(block("add-a-task", "yaml"))
    for key, value in added["data"].items():
        params["data"][key] |= value
    Path("params.yaml").write_text(yaml.safe_dump(params | {"tasks": added["tasks"]}))
    rng = np.random.default_rng(0)
    for folder in (*map(paths.scenes, ("train", "val", "heldout")), paths.raw("photos")):
        folder.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / "a.png")

    settings = config.load()
    prepare_pairs(settings, "deblur")
    for split in ("train", "val", "photos", "scenes"):
        ((_, degraded, clean),) = match(paths.prepared("deblur", split))
        blurred, sharp = (np.asarray(Image.open(path), np.float32) for path in (degraded, clean))
        assert blurred.shape == sharp.shape
        assert blurred.std() < 0.7 * sharp.std()
    assert "`motion-blur`: Motion blur: a camera that moves" in data_card(settings, "deblur", load_cards())


def test_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(session.__file__).read_text()
    (old,) = [line for line in source.splitlines() if line.startswith("ENGINES = ")]
    last = "    from qdr.runtimes.tensorrt import TensorRtSession\n"
    new, branch = block("add-an-engine", "text"), block("add-an-engine", "text", 1)
    changed = ModuleType("qdr.runtimes.session")
    exec(source.replace(old, new.strip()).replace(last, branch + last), vars(changed))
    engine = ModuleType("qdr.runtimes.reference")
    monkeypatch.setitem(sys.modules, "qdr.runtimes.reference", engine)
    exec(block("add-an-engine", "python"), vars(engine))

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
    Exporter().write(quantized(model), tmp_path / "int8.onnx", "two convolutions", 1)
    opened = changed.open_session("reference", tmp_path / "int8.onnx")
    there = restore(opened, IMAGE).astype(int)
    here = restore(open_session("onnxruntime", tmp_path / "int8.onnx"), IMAGE)
    assert np.abs(there - here).max() <= 2
    assert np.abs(there - here).mean() < 0.1
    assert {layer.kind for layer in opened.census()} >= {"Conv", "QuantizeLinear"}


def test_every_page_is_executed() -> None:
    executed = {"a-quantizer", "a-distillation", "a-balancer", "a-model", "a-task", "an-engine"}
    assert {path.stem.removeprefix("add-") for path in DOCS.glob("add-a*.md")} == executed
