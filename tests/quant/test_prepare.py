from __future__ import annotations

import pytest
import torch
from torch import nn

from qdr.errors import QdrError
from qdr.models.efm import EFM
from qdr.quant.layers import ActivationQuantizer, QuantConv2d
from qdr.quant.policy import decide, describe
from qdr.quant.prepare import calibrate, insert


def quantized(model: nn.Module, bits: str = "W8A8") -> nn.Module:
    torch.manual_seed(1)
    model = insert(model, bits, "mse")
    calibrate(model, [torch.rand(1, 3, 32, 32) for _ in range(2)])
    return model


def test_eight_bits_are_close_and_four_are_not(efm: EFM) -> None:
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before = efm(image)
        eight = quantized(efm)(image)
    relative = float((eight - before).norm() / (before - image).norm())
    assert 0 < relative < 0.1


def test_every_convolution_gets_the_scale_of_its_own_input(efm: EFM) -> None:
    model = quantized(efm)
    convs = [m for m in model.modules() if isinstance(m, QuantConv2d)]
    assert len(convs) == sum(isinstance(m, nn.Conv2d) for m in model.modules())
    assert convs[0]._source[0] is model.point_in
    assert model.encoder[0][0].conv2._source[0] is model.encoder[0][0].point1
    assert model.head._source[0] is model.decoder[0][-1].point2


def test_bias_lies_on_the_accumulators_grid(efm: EFM) -> None:
    conv = quantized(efm).encoder[0][0].conv2
    nn.init.normal_(conv.conv.bias)
    step = conv._source[0].log_scale.exp() * conv.log_scale.exp().flatten()
    multiples = conv.snapped_bias() / step
    assert torch.allclose(multiples, multiples.round(), atol=1e-2)
    conv.snapped_bias().sum().backward()
    assert torch.equal(conv.conv.bias.grad, torch.ones_like(conv.conv.bias))


def test_a_convolution_without_a_point_is_an_error() -> None:
    with pytest.raises(QdrError, match="'0' has an input that no QuantPoint makes"):
        quantized(nn.Sequential(nn.Conv2d(3, 4, 1)))


def test_policy_keeps_the_ends_at_eight_bits(efm: EFM) -> None:
    model = quantized(efm, "W4A4")
    widths = {name: m.bits for name, m in model.named_modules() if isinstance(m, QuantConv2d | ActivationQuantizer)}
    assert {name for name, width in widths.items() if width == 8} == {"stem", "point_in", "head"}
    assert set(widths.values()) == {4, 8}
    assert len(describe("W4A4")) == 4


def test_unknown_scheme() -> None:
    with pytest.raises(QdrError, match="W3A3"):
        decide("head", "W3A3")
