from __future__ import annotations

import numpy as np
import pytest
import torch

from qdr.distill.distances import DISTANCES

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
