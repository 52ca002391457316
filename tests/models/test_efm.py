from __future__ import annotations

import pytest
import torch

from qdr.models.efm import EFM, Gating
from qdr.models.ldg import DegradationGate


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("gating", ["every", "last", "scaling", "none"])
def test_a_fresh_model_is_the_identity_up_to_its_head_bias(gating: Gating, context: bool) -> None:
    torch.manual_seed(0)
    model = EFM((16, 32, 32), (1, 1, 1), gating, context=context)
    torch.nn.init.zeros_(model.head.bias)
    image = torch.rand(2, 3, 32, 48)
    assert torch.equal(model(image), image)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (24, 40), (64, 16)])
def test_any_multiple_of_the_stride(efm: EFM, height: int, width: int) -> None:
    assert efm.stride == 4
    assert efm(torch.rand(1, 3, height, width)).shape == (1, 3, height, width)


def test_context_is_the_same_at_every_place() -> None:
    torch.manual_seed(0)
    model = EFM((16, 32), (1, 1), context=True)
    torch.nn.init.normal_(model.context.conv2.weight, std=0.02)  # type: ignore[union-attr, arg-type]
    x = torch.rand(1, 32, 8, 8) + 10
    added = model.context(x) - x
    assert torch.allclose(added, added[:, :, :1, :1].expand_as(added), atol=1e-5)
    assert float(added.std()) > 0.1


def test_images_of_a_batch_do_not_mix(efm: EFM) -> None:
    batch = torch.rand(3, 3, 16, 16)
    alone = torch.cat([efm(image[None]) for image in batch])
    assert torch.allclose(efm(batch), alone, atol=1e-5)


def test_the_gate_starts_near_one_half_and_the_block_near_the_identity() -> None:
    torch.manual_seed(0)
    gate = DegradationGate(32)
    x = torch.rand(1, 32, 8, 8)
    assert float((gate.gate(x) - 0.5).abs().max().detach()) < 0.2
    assert float((gate(x) - x).abs().mean() / x.mean()) < 0.1
    assert gate.gate(x).shape == (1, 1, 8, 8)
