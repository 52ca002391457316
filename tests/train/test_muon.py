from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from qdr.models.efm import EFM
from qdr.suite.train.muon import COEFFICIENTS, ITERATIONS, is_matrix, orthogonal
from qdr.suite.train.optim import make_optimizer


@pytest.mark.parametrize(("rows", "columns"), [(32, 288), (96, 864), (64, 64)])
def test_a_step_is_what_the_published_iteration_gives(rows: int, columns: int) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(rows, columns) * torch.logspace(0, -2, rows)[:, None]
    a, b, c = COEFFICIENTS
    x = matrix / matrix.norm()
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    other = torch.randn(rows, columns)
    ours, alone = orthogonal(torch.stack([matrix, other])), orthogonal(other[None])
    assert torch.allclose(ours[0], x, atol=1e-4)
    assert torch.allclose(ours[1], alone[0], atol=1e-5)
    values = torch.linalg.svdvals(ours[0])
    assert values.max() < 1.3
    assert values[: rows // 2].min() > 0.6


def test_the_layers_of_the_image_and_the_gates_maps_stay_with_adamw(efm: EFM) -> None:
    matrices = {name for name, parameter in efm.named_parameters() if is_matrix(parameter)}
    assert {"encoder.0.0.conv1.weight", "downs.0.conv.weight", "ups.0.conv.weight", "gates.0.what.weight"} <= matrices
    assert not {"stem.weight", "head.weight", "gates.0.where.weight", "stem.bias"} & matrices


def test_a_state_goes_on_to_the_same_bits(efm: EFM) -> None:
    image = torch.rand(2, 3, 32, 32)

    def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            (model(image) - 0.5).abs().mean().backward()
            optimizer.step()

    def rated(model: nn.Module) -> torch.optim.Optimizer:
        return make_optimizer(model, nn.Module(), 1e-3, 1e-4, 1e-2, 1e-2, muon=0.02)

    optimizer = rated(efm)
    train(efm, optimizer, 2)
    other = copy.deepcopy(efm)
    resumed = rated(other)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    before = efm.encoder[0][0].conv1.weight.detach().clone()  # type: ignore[index, union-attr]
    train(efm, optimizer, 2)
    train(other, resumed, 2)
    assert all(torch.equal(a, b) for a, b in zip(efm.parameters(), other.parameters(), strict=True))
    assert not torch.equal(efm.encoder[0][0].conv1.weight, before)  # type: ignore[index, union-attr]
