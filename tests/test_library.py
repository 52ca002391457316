"""The public names: there, lazy, and enough for a loop of one's own in an empty folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import qdr
from qdr.distill.distiller import bottleneck
from qdr.errors import QdrError
from qdr.models import pretrained
from qdr.models.peers.dncnn import DnCNN
from qdr.models.peers.nafnet import NAFNet
from qdr.models.peers.restormer import Restormer
from tests.networks import small_efm

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "library.md").read_text(encoding="utf-8")
FRESH = "qdr.EFM([16, 32], [1, 1]); torch.nn.init.normal_(model.head.weight, std=0.01)"  # a fresh one is the identity


@pytest.mark.slow
def test_the_example_runs_in_an_empty_folder(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    if not (pretrained.FOLDER / "derain-FP32.safetensors").is_file():
        example = example.replace('qdr.EFM.from_pretrained("derain")', FRESH)
    code = f"{example}\nprint(report.share, float((y - model(x)).abs().mean()))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    share, difference = map(float, ran.stdout.split())
    assert share == 1
    assert difference * 255 < 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_importing_qdr_loads_nothing_heavy() -> None:
    code = "import sys, time; t = time.perf_counter(); import qdr; print(time.perf_counter() - t, *sys.modules)"
    seconds, *modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(seconds) < 0.2
    assert {"torch", "numpy", "onnx", "openvino"}.isdisjoint(modules)


def test_every_public_name_is_there() -> None:
    assert set(qdr.__all__) <= set(dir(qdr))
    assert all(getattr(qdr, name).__doc__ for name in qdr.__all__)
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        _ = qdr.quantise


def test_weights_of_a_task_and_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_efm()
    about = {"network": json.dumps({"channels": [16, 32], "blocks": [1, 1], "gating": "every"})}
    monkeypatch.setattr(pretrained.load, "__defaults__", (tmp_path,))
    with pytest.raises(QdrError, match=r"no FP32 weights for task 'derain' \(derain-FP32.safetensors is missing\)"):
        qdr.EFM.from_pretrained("derain")
    save_file(model.state_dict(), tmp_path / "derain-FP32.safetensors", about)
    found = qdr.EFM.from_pretrained("derain")
    image = torch.rand(1, 3, 32, 32)
    assert not found.training
    assert torch.equal(found(image), model(image))
    with pytest.raises(QdrError, match="did you mean 'derain'"):
        qdr.EFM.from_pretrained("derian")
    save_file(model.state_dict(), tmp_path / "derain-FP32.safetensors")
    with pytest.raises(QdrError, match="is damaged"):
        qdr.EFM.from_pretrained("derain")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (small_efm(), "bottleneck"),
        (NAFNet(8, 2), "middle"),
        (Restormer(8, (1, 1), 1), "latent"),
        (DnCNN(4, 8), "middle"),
        (nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, stride=2)), "1"),
    ],
    ids=["efm", "nafnet", "restormer", "dncnn", "chain"],
)
def test_the_bottleneck_is_the_deepest_tensor(model: nn.Module, name: str) -> None:
    assert bottleneck(model, torch.rand(1, 3, 32, 32)) == name


def test_a_network_without_features_has_no_bottleneck() -> None:
    with pytest.raises(QdrError, match="name one with `at`"):
        bottleneck(nn.Sequential(nn.Conv2d(3, 3, 1)), torch.rand(1, 3, 8, 8))


def test_a_copy_of_the_teacher_is_at_no_distance() -> None:
    model, image = small_efm(), torch.rand(2, 3, 32, 32)
    dfd = qdr.Distiller(qdr.frozen_copy(model), answer=True)
    output, kd = dfd(model, image)
    assert float(kd.loss.detach()) == 0
    assert kd.answer is not None
    assert torch.equal(kd.answer, output)
    qdr.quantize(model, [image])
    output, kd = dfd(model, image)
    assert float(kd.loss.detach()) > 0
    kd.loss.backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert any(name.startswith("encoder") for name in reached)
    assert not any(name.startswith(("decoder", "head")) for name in reached)  # decoder-free
    assert all(p.grad is None for p in dfd.teacher.parameters())


def test_a_module_by_name_and_names_that_are_none() -> None:
    model, image = small_efm(), torch.rand(1, 3, 32, 32)
    _, kd = qdr.Distiller(qdr.frozen_copy(model), at="encoder.0.0")(model, image)
    assert kd.feature.shape == (1, 16, 16, 16)
    assert kd.answer is None
    with pytest.raises(QdrError, match=r"unknown module 'encoder\.0\.9'"):
        qdr.Distiller(qdr.frozen_copy(model), at="encoder.0.9")(model, image)
    with pytest.raises(QdrError, match="unknown distance"):
        qdr.Distiller(model, distance="l3")
    chain = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, stride=2))
    with pytest.raises(QdrError, match=r"names no decoder: give the name of a module, e\.g\. '1'"):
        qdr.Distiller(chain, at="decoder")(chain, image)
    with pytest.raises(QdrError, match="student and teacher differ at 'bottleneck'"):
        qdr.Distiller(qdr.EFM((16, 48), (1, 1)))(model, image)


def test_lmr_gives_each_loss_its_share_of_the_gradient() -> None:
    torch.manual_seed(0)
    layer, head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)
    lmr = qdr.LMR(share=0.5, every=1)
    x = torch.rand(2, 3, 8, 8)
    for _ in range(3):
        layer.zero_grad()
        feature = layer(x)
        losses = {"rec": (head(feature) - x).abs().mean(), "kd": 100 * feature.square().mean()}
        log = lmr.backward(losses, feature)
    ratio = log["weight_kd"] * log["grad_kd"] / (log["weight_rec"] * log["grad_rec"])
    assert ratio == pytest.approx(0.5, rel=0.2)
    assert layer.weight.grad is not None
    with pytest.raises(QdrError, match="started with 2 losses, got 1"):
        lmr.backward({"rec": feature.mean()}, feature)
    with pytest.raises(QdrError, match="above 0"):
        qdr.LMR(share=0)


def test_scales_move_at_a_rate_of_their_own() -> None:
    model = small_efm()
    assert len(qdr.parameters(model, 1e-4)) == 1
    qdr.quantize(model, [torch.rand(1, 3, 32, 32)])
    weights, scales = qdr.parameters(model, 1e-4, 1e-2)
    assert (weights["lr"], scales["lr"], scales["eps"]) == (1e-4, 1e-2, 1e-15)
    assert len(weights["params"]) + len(scales["params"]) == len(list(model.parameters()))


def test_what_is_not_calibrated_is_not_exported(tmp_path: Path) -> None:
    from qdr.quant.policy import QuantizerConfig
    from qdr.quant.prepare import prepare

    model = prepare(small_efm(), "W8A8", QuantizerConfig(quantizer="lsq"))
    with pytest.raises(QdrError, match="prepared but not calibrated"):
        qdr.export_onnx(model, tmp_path / "a.onnx", torch.rand(1, 3, 32, 32))
    low = small_efm()
    qdr.quantize(low, [torch.rand(1, 3, 32, 32)], "W4A4")
    with pytest.raises(QdrError, match="fake quantization only"):
        qdr.export_onnx(low, tmp_path / "a.onnx", torch.rand(1, 3, 32, 32))
