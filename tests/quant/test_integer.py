"""Fake quantization under autocast computes the engine's integers: those of FP32, to the last one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.models.efm import EFM
from qdr.quant.affine import integer_conv2d, quantize
from qdr.quant.layers import ActivationQuantizer, QuantConv2d
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare

QUANTIZERS = ("lsq", "pact", "dorefa", "ste")


def quantized(model: nn.Module, bits: str = "W8A8", quantizer: str = "lsq") -> nn.Module:
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.1)
            nn.init.normal_(module.bias, std=0.1)
    prepare(model, bits, QuantizerConfig(quantizer=quantizer))
    calibrate(model, [torch.rand(1, 3, 32, 32) for _ in range(2)])
    return model


@contextmanager
def seen(model: nn.Module) -> Iterator[list[tuple[nn.Module, Tensor, Tensor]]]:
    """Every quantized layer with its input and its output, as they come."""
    found: list[tuple[nn.Module, Tensor, Tensor]] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append((module, inputs[0].detach(), output.detach()))

    layers = [module for module in model.modules() if isinstance(module, ActivationQuantizer | QuantConv2d)]
    hooks = [layer.register_forward_hook(look) for layer in layers]
    yield found
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("bits", ["W8A8", "W4A4"])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_codes_that_differ_from_the_true_grid_under_autocast(efm: EFM, quantizer: str, bits: str) -> None:
    model = quantized(efm, bits, quantizer)
    with seen(model) as found, torch.autocast("cpu", torch.bfloat16):
        restored = model(torch.rand(2, 3, 32, 32))
    assert restored.dtype == torch.float32
    points = [(m.quantizer, x, y) for m, x, y in found if isinstance(m, ActivationQuantizer)]
    differ = 0
    for grid, x, x_hat in points:
        scale = grid.scale(x).detach()
        differ += int((torch.round(x_hat / scale) != quantize(x.float(), scale, grid.low, grid.high)).sum())
    assert len(points) > 5
    assert differ == 0


@pytest.mark.parametrize("bits", ["W8A8", "W4A8", "W4A4"])
def test_autocast_changes_no_bit_of_the_simulation(efm: EFM, bits: str) -> None:
    model, image = quantized(efm, bits), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        plain = model(image)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(model(image), plain)


def test_convolutions_sum_integers_exactly(efm: EFM) -> None:
    model = quantized(efm)
    with seen(model) as found, torch.autocast("cpu", torch.bfloat16):
        model(torch.rand(1, 3, 32, 32))
    for conv, x, y in [(m, x, y) for m, x, y in found if isinstance(m, QuantConv2d)]:
        s_x, s_w = conv._source[0].quantizer.scale(x).detach(), conv.quantizer.scale(conv.conv.weight).detach().flatten()
        codes = torch.round(x / s_x), conv.quantizer.integers(conv.conv.weight).detach()
        bias = torch.round(conv.conv.bias.detach() / (s_x * s_w)).detach()
        total = integer_conv2d(*codes, bias, conv.conv.stride[0], conv.conv.padding[0])
        assert float(total.abs().max()) < 2**24
        assert torch.equal(y, total.float() * (s_x * s_w).reshape(1, -1, 1, 1))


@pytest.mark.parametrize("padding", [0, 1, "same", "valid"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_gradients_are_those_of_a_convolution_of_the_quantized_values(padding: int | str, per_channel: bool) -> None:
    torch.manual_seed(0)
    source = ActivationQuantizer("lsq", 8, "minmax")
    layer = QuantConv2d(nn.Conv2d(4, 6, 3, padding=padding), "lsq", 8, "minmax", per_channel)
    layer.feed_from(source)
    x = torch.randn(2, 4, 8, 8)
    source(x)
    source.finish_calibration()
    layer.finish_calibration()
    leaves = [x.requires_grad_(), *layer.parameters(), *source.parameters()]
    restored = layer(source(x))
    upstream = torch.randn_like(restored)
    ours = torch.autograd.grad(restored, leaves, upstream)
    plain = F.conv2d(source(x), layer.quantizer(layer.conv.weight), layer.snapped_bias(), padding=padding)
    assert torch.allclose(restored, plain, atol=1e-4)
    for a, b in zip(ours, torch.autograd.grad(plain, leaves, upstream), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        halved = layer(source(x))
    for a, b in zip(ours[:3], torch.autograd.grad(halved, leaves, upstream)[:3], strict=True):  # input, weight, bias
        assert a.dtype == b.dtype == torch.float32
        assert float((a - b).norm()) < 0.02 * float(a.norm())


def test_a_tensor_that_was_written_into_has_other_integers() -> None:
    torch.manual_seed(0)
    source, layer = ActivationQuantizer("lsq", 8, "minmax"), QuantConv2d(nn.Conv2d(4, 6, 1), "lsq", 8, "minmax")
    layer.feed_from(source)
    x = torch.randn(1, 4, 8, 8)
    source(x)
    source.finish_calibration()
    layer.finish_calibration()
    with torch.no_grad():
        assert torch.equal(layer(source(x).relu_()), layer(source(x).relu()))


def test_a_tensor_off_the_integers_is_convolved_in_fp32(efm: EFM) -> None:
    model, image = quantized(efm, "W4A4", "lsqplus"), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        plain = model(image)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(model(image), plain)
