"""LMR in Model-Optimizer's distillation, an INT8 file in deepinv's benchmark: run where the packages are installed."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import qdr
from qdr.metrics.perceptual import _declare_nms

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head, self.bottleneck = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.tail = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.tail(torch.relu(self.bottleneck(torch.relu(self.head(x)))))


def modelopt() -> ModuleType:
    return pytest.importorskip("modelopt.torch.distill", reason="nvidia-modelopt is not installed", exc_type=ImportError)


def deepinv() -> ModuleType:
    pytest.importorskip("benchopt", reason="benchopt is not installed", exc_type=ImportError)
    _declare_nms()  # for a torchvision of another torch
    return pytest.importorskip("deepinv", reason="deepinv is not installed", exc_type=ImportError)


def test_lmr_balances_model_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    mtd = modelopt()
    monkeypatch.syspath_prepend(str(EXAMPLES))
    balancing = importlib.import_module("modelopt_lmr")
    torch.manual_seed(0)
    student = Chain()
    teacher = copy.deepcopy(student)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(1.1)
    by_hand, lmr = copy.deepcopy(student), qdr.LMR(share=2.0)
    balancer = balancing.LMRBalancer("bottleneck", share=2.0)
    config = {
        "teacher_model": teacher,
        "criterion": {("bottleneck", "bottleneck"): nn.L1Loss()},
        "loss_balancer": balancer,
    }
    model = mtd.convert(student, mode=[("kd_loss", config)])
    balancer.watch(model)
    optimizers = [torch.optim.SGD(net.parameters(), lr=1e-2) for net in (model, by_hand)]
    for step in range(12):
        image, target = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(step))
        for optimizer in optimizers:
            optimizer.zero_grad()
        model.compute_kd_loss(student_loss=(model(image) - target).abs().mean()).backward()
        out, kd = qdr.Distiller(teacher, "bottleneck", "l1")(by_hand, image)
        log = lmr.backward({"rec": (out - target).abs().mean(), "kd": kd.loss}, kd.feature)
        for optimizer in optimizers:
            optimizer.step()
    weights = balancer.weights()
    assert float(weights[1]) == pytest.approx(log["weight_kd"], rel=0.1)  # of before and after the last step of LMR
    for ours, theirs in zip(
        by_hand.parameters(), [p for n, p in model.named_parameters() if "teacher" not in n], strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-6)
    model.eval()
    with torch.no_grad():
        assert model.compute_kd_loss(student_loss=model(image).mean()).ndim == 0


def test_lmr_asks_to_be_told_of_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    modelopt()
    monkeypatch.syspath_prepend(str(EXAMPLES))
    balancing = importlib.import_module("modelopt_lmr")
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(qdr.QdrError, match=r"call watch\(model\)"):
        balancing.LMRBalancer("bottleneck")({"student_loss": x.sum(), "L1Loss_0": x.mean()})


def test_a_file_is_a_solver_of_deepinv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dinv = deepinv()
    monkeypatch.syspath_prepend(str(EXAMPLES))
    solving = importlib.import_module("deepinv_solver")
    solver = solving.Solver.get_instance()
    monkeypatch.delenv("QDR_FILE", raising=False)
    with pytest.raises(qdr.QdrError, match="QDR_FILE names no file"):
        solver.set_objective()
    monkeypatch.setenv("QDR_FILE", str(Path(qdr.__file__).parent / "weights/denoise-W8A8.onnx"))
    physics = dinv.physics.Denoising(dinv.physics.GaussianNoise(25 / 255))
    solver.set_objective(train_dataset=None, physics=physics)
    solver.run(None)
    model = solver.get_result()["model"]
    y, x = (torch.linspace(0, 1, steps) for steps in (41, 70))
    clean = (y[:, None] * x[None])[None].repeat(3, 1, 1)  # of no multiple of anything
    results = dinv.test(  # as the benchmark's objective does
        model,
        torch.utils.data.DataLoader([clean]),
        physics,
        online_measurements=True,
        device=model.device,
        metrics=[dinv.loss.PSNR()],
        compare_no_learning=False,
    )
    assert results["PSNR"] > 25
    assert model(clean[None], physics).shape == (1, 3, 41, 70)
