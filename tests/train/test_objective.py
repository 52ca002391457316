"""What a step minimizes reaches what it should and nothing else, and pays."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from qdr.models.efm import EFM
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.suite.methods import Recipe
from qdr.suite.train.objective import Objective
from qdr.suite.train.optim import make_optimizer
from tests.networks import small_efm


def student_and_teacher() -> tuple[EFM, EFM]:
    teacher = small_efm()
    student = copy.deepcopy(teacher)
    prepare(student, "W4A4", QuantizerConfig())
    calibrate(student, [torch.rand(1, 3, 32, 32)])
    return student, teacher


def reached(student: nn.Module, loss: Tensor) -> set[str]:
    """The parts of the network that a loss has a gradient in."""
    student.zero_grad()
    loss.backward()
    return {name.split(".")[0] for name, p in student.named_parameters() if p.grad is not None and bool(p.grad.any())}


def test_distillation_at_the_bottleneck_reaches_no_decoder() -> None:
    student, teacher = student_and_teacher()
    objective = Objective(Recipe("", places=["bottleneck"], weight=1.0), student, teacher, 5)
    losses, _ = objective.losses(student, torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32))
    distilled = reached(student, losses["bottleneck"])
    assert {"stem", "downs", "bottleneck"} <= distilled
    assert not distilled & {"ups", "decoder", "head"}, "Decoder-Free Distillation"
    losses, _ = objective.losses(student, torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32))
    assert {"ups", "head"} <= reached(student, losses["rec"])


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = student_and_teacher()
    before = copy.deepcopy(teacher.state_dict())
    objective = Objective(Recipe("", places=["bottleneck", "output"], weight=1.0), student, teacher, 5)
    objective.backward(student, torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), 0, False)
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_without_labels_the_target_is_not_read() -> None:
    student, teacher = student_and_teacher()
    objective = Objective(Recipe("", places=["bottleneck", "output"], weight=1.0, labels=False), student, teacher, 5)
    image = torch.rand(2, 3, 32, 32)
    losses, _ = objective.losses(student, image, torch.full_like(image, float("nan")))
    assert list(losses) == ["bottleneck", "output"] or list(losses) == ["output", "bottleneck"]
    assert all(bool(loss.isfinite()) for loss in losses.values())


@pytest.mark.parametrize("recipe", [Recipe(""), Recipe("", places=["bottleneck"], balance="lmr", weight=0.5)])
def test_training_through_the_quantizers_beats_calibration(recipe: Recipe) -> None:
    """On a toy: a small network fitted to a blur, at W4A4, on images that it was not trained on."""
    torch.manual_seed(0)

    def batch(count: int) -> tuple[Tensor, Tensor]:
        clean = nn.functional.interpolate(torch.rand(count, 3, 8, 8), size=32, mode="bicubic").clamp(0, 1)
        return (clean + 0.1 * torch.randn_like(clean)).clamp(0, 1), clean

    def fit(model: nn.Module, objective: Objective, steps: int, lr: float) -> None:
        optimizer = make_optimizer(model, objective, lr, 0.0, 1e-2, 1e-2)
        for step in range(steps):
            optimizer.zero_grad()
            objective.backward(model, *batch(8), step, False)
            optimizer.step()

    def error(model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(held[0]) - held[1]).square().mean())

    held = batch(16)
    teacher = EFM((16, 32), (1, 1))
    fit(teacher, Objective(Recipe(""), teacher, None, 5), 150, 2e-3)
    student = copy.deepcopy(teacher.eval())
    prepare(student, "W4A4", recipe.quantization if recipe.quantized else QuantizerConfig())
    calibrate(student, [batch(4)[0] for _ in range(4)])
    calibrated = error(student)
    fit(student, Objective(recipe, student, copy.deepcopy(teacher), 5), 100, 1e-3)
    assert error(student) < 0.95 * calibrated
