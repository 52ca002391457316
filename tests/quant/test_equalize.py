"""Cross-layer equalisation: the function stays, the ranges meet."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.models.peers.dncnn import DnCNN
from qdr.models.peers.prenet import PReNet
from qdr.quant.equalize import equalize
from tests.networks import small_efm


class Chain(nn.Module):
    """Three convolutions with ReLUs between, the middle one maybe in groups."""

    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=groups)
        self.c = nn.Conv2d(4, 3, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.b(torch.relu_(self.a(x)))))  # type: ignore[no-any-return]


def kept(model: nn.Module) -> list[tuple[str, str]]:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model.eval()
    with torch.no_grad():
        before = model(image)
        found = equalize(model, image)
        assert torch.allclose(model(image), before, atol=1e-5 * float(before.abs().max()) + 1e-5)
    return found


@settings(max_examples=8)
@given(st.integers(0, 1000), st.floats(-4, 4))
def test_ranges_meet_whatever_they_were(seed: int, spread: float) -> None:
    torch.manual_seed(seed)
    model = Chain()
    with torch.no_grad():
        model.a.weight *= torch.exp(spread * torch.randn(4, 1, 1, 1))
    assert kept(model) == [("a", "b"), ("b", "c")]
    for first, second in ((model.a, model.b), (model.b, model.c)):
        out, into = first.weight.abs().amax((1, 2, 3)), second.weight.abs().amax((0, 2, 3))
        assert torch.allclose(out, into, rtol=1e-3)


def test_a_layer_in_groups_takes_no_rescaled_inputs_but_gives_them() -> None:
    torch.manual_seed(0)
    assert kept(Chain(groups=4)) == [("b", "c")]


def test_a_channel_without_weights_stays_finite() -> None:
    model = Chain()
    nn.init.zeros_(model.b.weight)
    kept(model)
    assert all(bool(p.isfinite().all()) for p in model.parameters())


def test_in_the_efm_the_residual_stream_bars_all_but_the_blocks() -> None:
    assert kept(small_efm()) == [(f"{at}.0.conv1", f"{at}.0.conv2") for at in ("encoder.0", "bottleneck", "decoder.0")]


@pytest.mark.parametrize(("model", "count"), [(DnCNN(4, 8), 3), (PReNet(2, 8, 2), 2)], ids=["folded", "recurrent"])
def test_normalizations_are_folded_first_and_layers_that_run_twice_are_pairs(model: nn.Module, count: int) -> None:
    assert len(kept(model)) == count
