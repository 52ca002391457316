from __future__ import annotations

import pytest
import torch
from hypothesis import given, strategies as st

from qdr.distill.balancers import balancer
from qdr.models.efm import EFM
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.suite.methods import Recipe
from qdr.suite.train.objective import Objective
from qdr.suite.train.optim import learning_rate, make_optimizer, set_learning_rate


@given(st.integers(2, 500), st.integers(0, 50))
def test_schedule_rises_then_falls(steps: int, warmup: int) -> None:
    factors = [learning_rate(step, steps, warmup) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    top = min(warmup, steps)
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_each_parameter_is_in_one_group_with_its_own_rate(efm: EFM) -> None:
    prepare(efm, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(efm, [torch.rand(1, 3, 16, 16)])
    optimizer = make_optimizer(efm, balancer("lmr", 2, 1.0, 1), 1e-3, 1e-4, 1e-2, 1e-1)
    members = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(members) == len(set(members)) == len(list(efm.parameters())) + 1
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [5e-4, 5e-3, 5e-2]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-4, 0, 0]


@pytest.mark.parametrize("bits", ["W8A8", "W4A4"])
def test_steps_move_at_their_rate_however_small_their_gradients(efm: EFM, bits: str) -> None:
    """An AdamW step moves a parameter by its learning rate, unless its gradient is not above eps."""
    prepare(efm, bits, QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(efm, [torch.rand(1, 3, 16, 16)])
    optimizer = make_optimizer(efm, balancer("fixed", 1, 1.0, 1), 1e-3, 0.0, 1e-2, 1e-1)
    scales = [p for name, p in efm.named_parameters() if name.endswith("log_scale")]
    before = [scale.detach().clone() for scale in scales]
    (efm(torch.rand(1, 3, 16, 16)).square().mean() * 1e-6).backward()
    optimizer.step()
    for scale, old in zip(scales, before, strict=True):
        assert scale.grad is not None
        moved, reached = (scale - old).detach().abs(), scale.grad.abs() > 1e-13
        assert torch.allclose(moved[reached], torch.tensor(1e-2), rtol=0.02)


def test_offsets_have_a_rate_of_their_own_and_regressors_that_of_weights(efm: EFM) -> None:
    recipe = Recipe("", quantizer="lsqplus", places=["bottleneck"], balance="lmr", weight=1.0)
    objective = Objective(recipe, efm, EFM((16, 48), (1, 1)), 5)
    prepare(efm, "W8A8", recipe.quantization)
    calibrate(efm, [torch.rand(1, 3, 16, 16)])
    groups = make_optimizer(efm, objective, 1e-3, 1e-4, 1e-2, 1e-1, lr_offsets=2e-2).param_groups
    rates = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    named = dict(efm.named_parameters()) | dict(objective.named_parameters())
    assert len(rates) == len(named)
    assert rates[id(named["regressors.bottleneck.weight"])] == rates[id(named["stem.conv.weight"])] == (1e-3, 1e-4)
    assert rates[id(named["point_in.quantizer.log_scale"])] == (1e-2, 0)
    assert rates[id(named["point_in.quantizer.offset"])] == (2e-2, 0)
    assert rates[id(named["balancer.log_magnitude"])] == (1e-1, 0)


@pytest.mark.parametrize("balance", ["lmr", "pcgrad"])
def test_regressors_get_a_gradient_from_every_balancer(efm: EFM, balance: str) -> None:
    recipe = Recipe("", places=["bottleneck"], balance=balance, weight=1.0)
    objective = Objective(recipe, efm, EFM((16, 48), (1, 1)), 5)
    image = torch.rand(2, 3, 16, 16)
    objective.backward(efm, image, image, 0, False)
    assert all(p.grad is not None and bool(p.grad.any()) for p in objective.regressors.parameters())
