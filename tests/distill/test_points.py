from __future__ import annotations

import pytest
import torch

from qdr.distill.points import Taps, modules_at, run_to
from qdr.errors import QdrError
from qdr.models.efm import EFM


def test_places_of_the_efm(efm: EFM) -> None:
    assert modules_at(efm, "bottleneck") == ["bottleneck"]
    assert modules_at(efm, "decoder") == ["decoder.0"]
    assert modules_at(efm, "all") == ["encoder.0", "bottleneck", "decoder.0"]
    assert modules_at(efm, "output") == []
    with pytest.raises(QdrError, match="did you mean 'bottleneck'"):
        modules_at(efm, "bottlneck")


def test_a_network_may_name_its_parts(efm: EFM) -> None:
    efm.parts = {"bottleneck": "downs"}  # type: ignore[assignment]
    assert modules_at(efm, "bottleneck") == ["downs.0"]


def test_taps_read_and_then_let_go(efm: EFM) -> None:
    with Taps(efm, ["bottleneck"]) as taps:
        efm(torch.rand(1, 3, 16, 16))
    first = taps.features["bottleneck"]
    assert first.shape == (1, 32, 4, 4)
    efm(torch.rand(1, 3, 16, 16))
    assert taps.features["bottleneck"] is first


def test_a_teacher_is_run_no_further_than_asked(efm: EFM) -> None:
    image, decoded = torch.rand(1, 3, 16, 16), []
    hook = efm.head.register_forward_hook(lambda *_: decoded.append(1))
    with Taps(efm, ["bottleneck", "encoder.0"]) as taps:
        efm(image)
    found = run_to(efm, ["bottleneck", "encoder.0"], image)
    hook.remove()
    assert len(decoded) == 1
    assert all(torch.equal(found[name], taps.features[name]) for name in ("bottleneck", "encoder.0"))
