from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qdr.distill.distances import DISTANCES
from qdr.distill.points import Taps, modules_at, run_from, run_to
from qdr.models.efm import EFM
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.suite.methods import Recipe
from qdr.suite.train.objective import Objective

S = torch.rand(2, 5, 6, 8, generator=torch.Generator().manual_seed(0))
T = torch.rand(2, 5, 6, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", DISTANCES)
def test_zero_for_equal_features_and_positive_otherwise(name: str) -> None:
    assert float(DISTANCES[name](T, T)) == pytest.approx(0, abs=1e-6)
    assert float(DISTANCES[name](S, T)) > 1e-4


@pytest.mark.parametrize("name", DISTANCES)
def test_gradients_equal_finite_differences(name: str) -> None:
    student = S[:1, :2, :3, :4].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: DISTANCES[name](x, T[:1, :2, :3, :4].double()), student)


@pytest.mark.parametrize("name", ["relative-l1", "cosine", "attention", "spectral"])
def test_blind_to_a_common_scale(name: str) -> None:
    assert float(DISTANCES[name](S * 7, T * 7)) == pytest.approx(float(DISTANCES[name](S, T)), rel=1e-5)


def test_against_numpy() -> None:
    s, t = S.numpy().astype(float), T.numpy().astype(float)
    maps = [(x**2).sum(axis=1).reshape(2, -1) for x in (s, t)]
    maps = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in maps]
    cosines = (s * t).sum(1) / np.linalg.norm(s, axis=1) / np.linalg.norm(t, axis=1)
    expected = {
        "l1": np.abs(s - t).mean(),
        "relative-l1": np.abs(s - t).mean() / np.abs(t).mean(),
        "l2": ((s - t) ** 2).mean(),
        "cosine": 1 - cosines.mean(),
        "attention": ((maps[0] - maps[1]) ** 2).sum(axis=1).mean(),
        "spectral": np.abs(np.fft.rfft2(s - t)).mean() / np.abs(np.fft.rfft2(t)).mean(),
    }
    for name, value in expected.items():
        assert float(DISTANCES[name](S, T)) == pytest.approx(value, rel=1e-4), name


def test_attention_compares_networks_of_different_width() -> None:
    assert float(DISTANCES["attention"](torch.cat([T, T], dim=1), T)) == pytest.approx(0, abs=1e-6)


def gradient(name: str, student: torch.Tensor) -> torch.Tensor:
    moved = student.clone().requires_grad_()
    if hasattr(student, "grid"):
        moved.grid = student.grid
    (found,) = torch.autograd.grad(DISTANCES[name](moved, T), moved)
    return found


def test_the_gradient_of_the_dead_zone_vanishes_with_the_distance_and_that_of_l1_does_not() -> None:
    direction = (S - T).sign()
    for name, ratio in (("dead-zone", 100), ("relative-l1", 1)):
        far, near = (float(gradient(name, T + by * direction).norm()) for by in (0.1, 0.001))
        assert far / near == pytest.approx(ratio, rel=1e-2), name


def test_no_gradient_within_half_a_step_of_the_students_grid() -> None:
    step = torch.tensor(0.2)
    nearest = torch.round(T / step) * step
    nearest.grid = torch.round(T / step), step
    assert float(DISTANCES["dead-zone"](nearest, T)) == pytest.approx(0, abs=1e-9)
    assert not bool(gradient("dead-zone", nearest).any())
    assert bool(gradient("l2", nearest).any())
    other = nearest + step
    other.grid = nearest.grid
    assert bool(gradient("dead-zone", other).any())


def test_the_dead_zone_is_that_of_the_quantizer(efm: EFM) -> None:
    """A tap at the bottleneck knows the step of the grid on which it lies."""
    prepare(efm, "W4A4", QuantizerConfig())
    calibrate(efm, [torch.rand(1, 3, 32, 32)])
    (name,) = modules_at(efm, "bottleneck")
    with Taps(efm, [name]) as taps:
        efm(torch.rand(1, 3, 32, 32))
    assert torch.equal(taps.features[name].grid[1], efm.bottleneck[-1].point2.quantizer.log_scale.exp())


def test_decoded_shows_the_error_through_the_teachers_decoder_alone() -> None:
    torch.manual_seed(0)
    student, teacher = EFM((16, 32), (1, 1)), EFM((16, 32), (1, 1))
    for network in (student, teacher):
        nn.init.normal_(network.head.weight, std=0.1)
    image = torch.rand(2, 3, 16, 16)
    objective = Objective(Recipe("", places=["bottleneck"], distance="decoded"), student, teacher, 5)
    loss = objective.losses(student, image, image)[0]["bottleneck"]
    loss.backward()
    reached = {name.split(".")[0] for name, p in student.named_parameters() if p.grad is not None and bool(p.grad.any())}
    assert reached == {"stem", "encoder", "downs", "gates", "bottleneck"}
    assert all(p.grad is None for p in teacher.parameters())
    with torch.no_grad():
        features = run_to(teacher, ["bottleneck"], image)
        answer = teacher(image)
        assert torch.equal(run_from(teacher, features, image), answer)
        mine = run_from(teacher, run_to(student, ["bottleneck"], image), image)
    expected = (mine - answer).square().mean() / (answer - image).square().mean()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)
    alike = Objective(Recipe("", places=["bottleneck"], distance="decoded"), teacher, teacher, 5)
    assert float(alike.losses(teacher, image, image)[0]["bottleneck"].detach()) == 0


def test_distillation_fades_out(efm: EFM) -> None:
    recipe = Recipe("", places=["bottleneck"], weight=2.0, fade=0.5)
    objective, image = Objective(recipe, efm, EFM((16, 32), (1, 1)), 5, 40), torch.rand(1, 3, 16, 16)
    logs = [objective.backward(efm, image, image, step, False) for step in (0, 10, 20, 30)]
    assert [log.get("weight_bottleneck") for log in logs] == [2, 1, None, None]
