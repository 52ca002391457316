"""Balancers on losses whose answers are known in closed form, and against small implementations of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from qdr.distill.balancers import BALANCERS, Balancer, balancer
from qdr.distill.balancers.base import BottleneckGradients
from qdr.distill.balancers.pcgrad import project
from qdr.errors import QdrError

WEIGHTINGS = ("fixed", "lmr", "uncertainty", "dwa", "gradnorm", "gor")


class Quadratic(nn.Module):
    """L_1 = a |x - p|^2 / 2 and L_2 = b |x - q|^2 / 2, which meet at x."""

    def __init__(self, a: float, b: float, p: float = 1.0, q: float = -1.0) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(4))
        self.a, self.b, self.p, self.q = a, b, p, q

    def losses(self) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        x = self.x * 1.0
        first, second = self.a * (x - self.p).square().sum() / 2, self.b * (x - self.q).square().sum() / 2
        return {"rec": first, "bottleneck": second}, x


def run(rule: Balancer, model: Quadratic, steps: int, lr: float, own_lr: float) -> dict[str, float]:
    weights = torch.optim.SGD(model.parameters(), lr)
    own = torch.optim.Adam(rule.parameters(), own_lr) if list(rule.parameters()) else None
    for step in range(steps):
        weights.zero_grad()
        if own:
            own.zero_grad()
        losses, x = model.losses()
        log = rule.backward(losses, x, model, step)
        weights.step()
        if own:
            own.step()
    return log


def test_every_file_is_a_balancer() -> None:
    for name in BALANCERS:
        assert isinstance(balancer(name, 2, 0.5, 1), Balancer)
    with pytest.raises(QdrError, match="did you mean 'lmr'"):
        balancer("lrm", 2, 0.5, 1)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_one_loss_needs_no_balance(name: str) -> None:
    model = Quadratic(2.0, 1.0)
    losses, x = model.losses()
    log = balancer(name, 1, 0.5, 1).backward({"rec": losses["rec"]}, x, model, 0)
    assert log == {"loss_rec": 4.0, "loss": 4.0}
    assert model.x.grad is not None
    assert torch.equal(model.x.grad, torch.full((4,), -2.0))


@settings(max_examples=8)
@given(st.floats(0.5, 3), st.floats(0.5, 3), st.floats(0.1, 2))
def test_fixed_weight_ends_at_the_weighted_mean(a: float, b: float, weight: float) -> None:
    model = Quadratic(a, b)
    run(balancer("fixed", 2, weight, 1), model, 60, 0.5 / (a + weight * b), 0.0)
    assert torch.allclose(model.x, torch.tensor((a - weight * b) / (a + weight * b)), atol=1e-4)


@settings(max_examples=3)
@given(st.floats(0.05, 20), st.floats(0.05, 20))
def test_uncertainty_weights_tend_to_the_inverse_losses(a: float, b: float) -> None:
    model, rule = Quadratic(a, b), balancer("uncertainty", 2, 1.0, 1)
    log = run(rule, model, 600, 0.0, 0.05)  # the losses stay 2a and 2b
    assert log["weight_rec"] == pytest.approx(1 / (2 * a), rel=5e-2)
    assert log["weight_bottleneck"] == pytest.approx(1 / (2 * b), rel=5e-2)


@settings(max_examples=3)
@given(st.floats(0.05, 20), st.floats(0.05, 20), st.floats(0.1, 2))
def test_gor_ends_at_the_root_of_its_quadratic(a: float, b: float, weight: float) -> None:
    """u^2 = L (1 + u) for the two weighted losses, 2a and 2b weight; the weights are 1 / u and weight / u."""
    log = run(balancer("gor", 2, weight, 1), Quadratic(a, b), 400, 0.0, 0.05)
    one, two = 2 * a, 2 * b * weight
    assert log["weight_rec"] == pytest.approx(2 / (one + (one**2 + 4 * one) ** 0.5), rel=2e-2)
    assert log["weight_bottleneck"] == pytest.approx(2 * weight / (two + (two**2 + 4 * two) ** 0.5), rel=2e-2)


def test_gor_has_two_scalars_and_starts_from_the_given_weights() -> None:
    rule = balancer("gor", 4, 0.3, 1)
    assert sum(p.numel() for p in rule.parameters()) == 2
    assert torch.equal(rule.weights(), torch.tensor([1.0, 0.3, 0.3, 0.3]))


@settings(max_examples=8)
@given(st.floats(1e-3, 1e3), st.floats(0.1, 20.0))
def test_lmr_makes_the_gradients_proportional_whatever_the_losses_scale(scale: float, share: float) -> None:
    log = run(balancer("lmr", 2, share, 1), Quadratic(1.0, scale), 1, 0.0, 0.01)
    assert log["weight_rec"] + log["weight_bottleneck"] == pytest.approx(1)
    pulled = log["weight_bottleneck"] * log["grad_bottleneck"] / (log["weight_rec"] * log["grad_rec"])
    assert pulled == pytest.approx(share, rel=1e-3)


@settings(max_examples=8)
@given(st.floats(1e-2, 1e2))
def test_lmr_rescaling_a_loss_leaves_the_directions_of_the_trajectory(scale: float) -> None:
    """Steps of equal length along the gradient: a common factor of both weighted losses must not matter."""
    ends = []
    for factor in (1.0, scale):
        model, rule = Quadratic(1.0, 0.7 * factor, p=2.0), balancer("lmr", 2, 0.5, 1)
        own = torch.optim.Adam(rule.parameters(), 0.05)
        for step in range(30):
            own.zero_grad()
            model.zero_grad()
            rule.backward(*model.losses(), model, step)
            own.step()
            assert model.x.grad is not None
            with torch.no_grad():
                model.x -= 0.01 * model.x.grad / model.x.grad.norm()
        ends.append(model.x.detach().clone())
    assert torch.allclose(ends[0], ends[1], atol=1e-4)


def test_lmr_follows_a_changed_magnitude() -> None:
    rule, model = balancer("lmr", 2, 1.0, 1), Quadratic(1.0, 1.0)
    optimizer = torch.optim.Adam(rule.parameters(), 0.1)
    for step in range(300):
        model.b = 1.0 if step < 10 else 8.0
        optimizer.zero_grad()
        log = rule.backward(*model.losses(), model, step)
        optimizer.step()
    assert log["weight_rec"] / log["weight_bottleneck"] == pytest.approx(8, rel=0.1)


def test_lmr_refuses_a_loss_that_does_not_reach_the_bottleneck() -> None:
    model = Quadratic(1.0, 1.0)
    losses, x = model.losses()
    with pytest.raises(QdrError, match="no gradient at the bottleneck"):
        balancer("lmr", 2, 1.0, 1).backward({"rec": losses["rec"], "encoder": model.x.sum()}, x, model, 0)


@settings(max_examples=8)
@given(st.floats(0.2, 5), st.floats(0.2, 5))
def test_dwa_against_its_formula(first: float, second: float) -> None:
    rule = balancer("dwa", 2, 1.0, 2)
    for value in (1.0, 1.0):
        rule.observe(torch.tensor([value, value]), None)
    assert torch.allclose(rule.weights(), torch.ones(2))
    for _ in range(2):
        rule.observe(torch.tensor([first, second]), None)
    raw = np.exp(np.array([first, second]) / 2)
    assert np.allclose(rule.weights().numpy(), 2 * raw / raw.sum(), rtol=1e-5)


@settings(max_examples=3)
@given(st.floats(0.2, 5), st.floats(0.2, 5))
def test_gradnorm_equalizes_norms_of_losses_that_train_equally_fast(a: float, b: float) -> None:
    log = run(balancer("gradnorm", 2, 1.0, 1), Quadratic(a, b), 200, 0.0, 0.02)  # no progress: equal rates
    assert log["weight_rec"] * a == pytest.approx(log["weight_bottleneck"] * b, rel=0.05)
    assert log["weight_rec"] + log["weight_bottleneck"] == pytest.approx(2, rel=1e-4)


def test_gradnorm_against_a_small_implementation() -> None:
    """Chen et al., algorithm 1, with numpy: the gradient of |G_1 - t_1| + |G_2 - t_2| by w, for w = 2 softmax(z)."""
    rule = balancer("gradnorm", 2, 1.0, 1)
    start, losses, norms = np.array([4.0, 2.0]), np.array([1.0, 1.5]), np.array([3.0, 0.5])
    rule.observe(torch.tensor(start, dtype=torch.float32), BottleneckGradients(torch.tensor([[3.0], [0.5]])))
    found = rule.own_loss(torch.tensor(losses, dtype=torch.float32))
    assert found is not None
    found.backward()

    def loss(z: np.ndarray, wanted: np.ndarray) -> float:
        weights = 2 * np.exp(z) / np.exp(z).sum()
        return float(np.abs(weights * norms - wanted).sum() / wanted.mean())

    rates = losses / start
    wanted = norms.mean() * (rates / rates.mean()) ** 0.5
    assert float(found.detach()) == pytest.approx(loss(np.zeros(2), wanted), rel=1e-5)
    slope = [(loss(e, wanted) - loss(-e, wanted)) / 2e-4 for e in (np.array([1e-4, 0]), np.array([0, 1e-4]))]
    (z,) = rule.parameters()
    assert z.grad is not None
    assert np.allclose(z.grad.numpy(), slope, rtol=1e-3)


@settings(max_examples=8)
@given(st.integers(0, 1000))
def test_pcgrad_against_a_small_implementation(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Linear(3, 2)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    images = torch.randn(2, 5, 3, generator=generator)

    def losses() -> list[torch.Tensor]:
        return [
            model(image).square().mean() + model(image).sum() * sign for image, sign in zip(images, (1, -1), strict=True)
        ]

    rows = []
    for loss, weight in zip(losses(), (1.0, 0.3), strict=True):
        model.zero_grad()
        (weight * loss).backward()
        rows.append(np.concatenate([p.grad.numpy().ravel().copy() for p in model.parameters()]))
    one, two = rows
    dot = one @ two
    expected = one + two if dot >= 0 else one - 0.3 * dot / (two @ two) * two + two - dot / (one @ one) * one
    model.zero_grad()
    balancer("pcgrad", 2, 0.3, 1).backward(dict(zip(("rec", "bottleneck"), losses(), strict=True)), None, model, 0)
    found = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_pcgrad_takes_from_the_reconstruction_by_the_weight_of_the_other_loss() -> None:
    """At weight 0 nothing, at 1 all that opposes."""
    gradients = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])
    for weight, left in ((1e-6, 1.0), (0.5, 0.75), (1.0, 0.5), (4.0, 0.5)):
        weights = torch.tensor([1.0, weight])
        reconstruction, distillation = project(gradients * weights[:, None], weights)
        assert float(reconstruction[0]) == pytest.approx(left, rel=1e-5)
        assert float(distillation[1]) == pytest.approx(weight, rel=1e-5)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_gradients_are_measured_every_so_many_steps(name: str) -> None:
    rule, model = balancer(name, 2, 1.0, 5), Quadratic(1.0, 1.0)
    logs = [rule.backward(*model.losses(), model, step) for step in range(6)]
    assert ["grad_rec" in log for log in logs] == [True, False, False, False, False, True]
    assert logs[0]["grad_cosine"] == pytest.approx(-1)  # at zero, between p and q, the two losses pull apart


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_the_logged_weights_are_those_of_the_step(name: str) -> None:
    rule, model = balancer(name, 2, 0.3, 1), Quadratic(2.0, 3.0)
    log = rule.backward(*model.losses(), model, 0)
    expected = log["weight_rec"] * -2.0 + log["weight_bottleneck"] * 3.0
    assert model.x.grad is not None
    assert torch.allclose(model.x.grad, torch.tensor(expected), rtol=1e-5)
