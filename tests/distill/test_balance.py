from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from qdr.distill.balance import LMR, FixedWeight


def losses(scale: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two losses that meet at a bottleneck; the second's gradient is `scale` times the first's."""
    bottleneck = torch.linspace(-1, 1, 40).requires_grad_() * 1.0
    return bottleneck.abs().mean(), scale * (bottleneck - 2).abs().mean(), bottleneck


@settings(deadline=None, max_examples=20)
@given(st.floats(1e-3, 1e3), st.floats(0.1, 2.0))
def test_lmr_equalizes_the_gradients_whatever_the_losses_scale(scale: float, share: float) -> None:
    rec, distill, bottleneck = losses(scale)
    lmr = LMR(share, every=1)
    loss, log = lmr.combine(rec, distill, bottleneck, 0)
    assert log["weight_rec"] + log["weight_distill"] == pytest.approx(1)
    pulled = log["weight_distill"] * log["grad_distill"] / (log["weight_rec"] * log["grad_rec"])
    assert pulled == pytest.approx(share, rel=1e-3)
    assert float(loss.detach()) == pytest.approx(
        float((log["weight_rec"] * rec + log["weight_distill"] * distill).detach()), rel=1e-4
    )


def test_lmr_follows_a_changed_magnitude() -> None:
    lmr = LMR(1.0, every=1)
    optimizer = torch.optim.Adam(lmr.parameters(), lr=0.1)
    for step in range(300):
        loss, log = lmr.combine(*losses(1.0 if step < 10 else 8.0), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert log["weight_rec"] / log["weight_distill"] == pytest.approx(8, rel=0.1)


def test_lmr_measures_only_every_so_many_steps() -> None:
    lmr = LMR(1.0, every=5)
    logs = [lmr.combine(*losses(1.0), step)[1] for step in range(6)]
    assert ["grad_rec" in log for log in logs] == [True, False, False, False, False, True]


def test_opposed_gradients_have_cosine_minus_one() -> None:
    bottleneck = torch.ones(4, requires_grad=True) * 1.0
    log = LMR(1.0, every=1).combine(bottleneck.sum(), -bottleneck.sum(), bottleneck, 0)[1]
    assert log["grad_cosine"] == pytest.approx(-1)


def test_fixed_weight() -> None:
    loss, log = FixedWeight(0.25).combine(torch.tensor(1.0), torch.tensor(2.0), torch.zeros(1), 0)
    assert float(loss) == 1.5
    assert log == {"weight_rec": 1.0, "weight_distill": 0.25}
