from __future__ import annotations

import pytest
import torch

from qdr.distill.losses import feature_distance, relative_l1
from qdr.distill.points import Taps, modules_at
from qdr.errors import QdrError
from qdr.models.efm import EFM


def test_places_of_the_efm(efm: EFM) -> None:
    assert modules_at(efm, "bottleneck") == ["bottleneck"]
    assert modules_at(efm, "decoder") == ["decoder.0"]
    assert modules_at(efm, "all") == ["encoder.0", "bottleneck", "decoder.0"]
    with pytest.raises(QdrError, match="did you mean 'bottleneck'"):
        modules_at(efm, "bottlneck")


def test_taps_read_and_then_let_go(efm: EFM) -> None:
    with Taps(efm, ["bottleneck"]) as taps:
        efm(torch.rand(1, 3, 16, 16))
    first = taps.features["bottleneck"]
    assert first.shape == (1, 32, 4, 4)
    efm(torch.rand(1, 3, 16, 16))
    assert taps.features["bottleneck"] is first


def test_distance_ignores_the_teachers_scale_and_sends_it_no_gradient() -> None:
    student, teacher = torch.rand(2, 3).requires_grad_(), torch.rand(2, 3).requires_grad_()
    near = relative_l1(student, teacher)
    assert torch.allclose(near, relative_l1(student * 7, teacher * 7))
    near.backward()
    assert teacher.grad is None
    same = {"a": torch.ones(2), "b": torch.ones(3)}
    assert float(feature_distance(same, same)) == 0
