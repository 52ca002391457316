from __future__ import annotations

import pytest
import torch
from hypothesis import given, strategies as st

from qdr.distill.balancers import balancer
from qdr.methods import Recipe
from qdr.models.efm import EFM
from qdr.quant.prepare import calibrate, prepare
from qdr.train.optim import learning_rate, make_optimizer, set_learning_rate


@given(st.integers(2, 500), st.integers(0, 50))
def test_schedule_rises_then_falls(steps: int, warmup: int) -> None:
    factors = [learning_rate(step, steps, warmup) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    top = min(warmup, steps)
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_each_parameter_is_in_one_group_with_its_own_rate(efm: EFM) -> None:
    prepare(efm, "W8A8", Recipe("", quantizer="lsq", observer="minmax"))
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
    prepare(efm, bits, Recipe("", quantizer="lsq", observer="minmax"))
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
