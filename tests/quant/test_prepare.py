from __future__ import annotations

import pytest
import torch
from torch import nn

from qdr.errors import QdrError
from qdr.models.blocks import QuantPoint
from qdr.models.efm import EFM
from qdr.models.peers.norm import BatchNorm
from qdr.quant.layers import ActivationQuantizer, QuantConv2d
from qdr.quant.policy import QuantizerConfig, decide, describe
from qdr.quant.prepare import calibrate, prepare, set_mode


def quantized(model: nn.Module, bits: str = "W8A8") -> nn.Module:
    torch.manual_seed(1)
    model = prepare(model, bits, QuantizerConfig(quantizer="lsq", observer="mse"))
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
    step = conv._source[0].quantizer.log_scale.exp() * conv.quantizer.log_scale.exp().flatten()
    multiples = conv.snapped_bias() / step
    assert torch.allclose(multiples, multiples.round(), atol=1e-2)
    conv.snapped_bias().sum().backward()
    assert torch.equal(conv.conv.bias.grad, torch.ones_like(conv.conv.bias))


def test_a_convolution_without_a_point_is_an_error() -> None:
    with pytest.raises(QdrError, match="'0' has an input that no QuantPoint makes"):
        quantized(nn.Sequential(nn.Conv2d(3, 4, 1), QuantPoint()))


def test_policy_keeps_the_ends_at_eight_bits(efm: EFM) -> None:
    model = quantized(efm, "W4A4")
    widths = {name: m.bits for name, m in model.named_modules() if isinstance(m, QuantConv2d | ActivationQuantizer)}
    assert {name for name, width in widths.items() if width == 8} == {"stem", "point_in", "head"}
    assert set(widths.values()) == {4, 8}
    assert len(describe("W4A4")) == 5


def test_unknown_scheme() -> None:
    with pytest.raises(QdrError, match="W3A3"):
        decide("last", "W3A3")


def test_activations_below_eight_bits_are_unsigned_after_a_relu(efm: EFM) -> None:
    model = quantized(efm, "W4A4")
    grids = {n: (m.quantizer.low, m.quantizer.high) for n, m in model.named_modules() if isinstance(m, ActivationQuantizer)}
    assert grids["point_in"] == (-128, 127)
    assert grids["point_stem"] == (0, 15)
    assert grids["ups.0.point1"] == (-8, 7)
    eight = quantized(EFM((16, 32), (1, 1)), "W8A8")
    assert all(m.quantizer.low == -128 for m in eight.modules() if isinstance(m, ActivationQuantizer))


def test_the_grid_is_saved_with_the_weights(efm: EFM) -> None:
    state = quantized(efm, "W4A4").state_dict()
    other = prepare(EFM((16, 32), (1, 1)), "W4A4", QuantizerConfig(quantizer="lsq"))
    other.load_state_dict(state)
    assert (other.point_stem.quantizer.low, other.point_stem.quantizer.high) == (0, 15)


class Plain(nn.Module):
    """A network that was not made for integers: no points, a normalization, a depthwise convolution, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.depthwise = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.last = nn.GroupNorm(1, 8), nn.Conv2d(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.depthwise(self.norm(self.first(x))).chunk(2, dim=1)
        return x + self.last(a * b)


def test_an_unmodified_network_is_quantized_in_front_of_each_convolution() -> None:
    torch.manual_seed(0)
    plain = Plain()
    image = torch.rand(1, 3, 16, 16)
    before = plain(image).detach()
    model = quantized(plain)
    convs = [m for m in model.modules() if isinstance(m, QuantConv2d)]
    assert len(convs) == sum(isinstance(m, ActivationQuantizer) for m in model.modules()) == 3
    after = model(image).detach()
    assert 0 < float((after - before).abs().max()) < 0.05


def test_per_tensor_weights_share_a_scale(efm: EFM) -> None:
    recipe = QuantizerConfig(quantizer="lsq", granularity="tensor", weight_observer="minmax")
    model = prepare(efm, "W8A8", recipe)
    calibrate(model, [torch.rand(1, 3, 32, 32)])
    conv = model.head
    assert conv.quantizer.log_scale.numel() == 1
    assert float(conv.quantizer.scale(conv.conv.weight).detach()) == pytest.approx(
        float(conv.conv.weight.abs().max().detach()) / 127
    )


def test_the_observer_is_for_activations(efm: EFM) -> None:
    """Of the 32 weights of a 1x1 convolution a percentile would take the largest but one."""
    prepare(efm, "W8A8", QuantizerConfig(quantizer="lsq", observer="percentile", weight_observer="minmax"))
    calibrate(efm, [torch.rand(1, 3, 32, 32)])
    weight = efm.head.conv.weight.detach()
    nn.init.normal_(weight)
    efm.head.finish_calibration()
    expected = weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    assert torch.allclose(efm.head.quantizer.scale(weight).detach(), expected)
    with pytest.raises(QdrError, match="unknown observer of weights 'percentile'"):
        QuantConv2d(nn.Conv2d(3, 4, 1), "lsq", 8, "percentile")


def test_observers_see_every_column() -> None:
    """A stride through memory can equal the length of a row: of this tensor it saw the first column alone."""
    point = ActivationQuantizer("lsq", 8, "percentile")
    columns = torch.arange(64.0).expand(1, 64, 256, 64)
    point(columns)
    (seen,) = point.seen
    assert seen.unique().numel() == 64
    assert float(seen.mean()) == pytest.approx(31.5, abs=0.5)


def test_observers_keep_as_much_of_many_images_as_of_few() -> None:
    point = ActivationQuantizer("lsq", 8, "minmax")
    images = [torch.full((1, 1, 256, 128), float(i)) for i in range(200)]
    images[150][0, 0, 7, 7], images[3][0, 0, 9, 9] = 500.0, -400.0
    for image in images:
        point(image)
    assert sum(sample.numel() for sample in point.seen) == 32 * (16384 + 2)
    kept = [float(sample[2]) for sample in point.seen]
    assert sum(value >= 32 for value in kept) > 16
    assert min(float(sample.min()) for sample in point.seen) == -400
    point.finish_calibration()
    assert float(point.quantizer.scale(torch.empty(0)).detach()) == pytest.approx(500 / 127)


@pytest.mark.parametrize("norm", [BatchNorm, nn.BatchNorm2d])
def test_batch_normalization_is_folded_before_it_is_quantized(norm: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, bias=False), norm(16), nn.ReLU())
    model.append(nn.Conv2d(16, 3, 1))
    for _ in range(30):
        model(torch.rand(4, 3, 16, 16))
    nn.init.uniform_(model[3].weight, 0.2, 2)
    nn.init.uniform_(model[3].bias, -1, 1)
    model.eval()
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        before = model(image)
        prepare(model, "W8A8", QuantizerConfig(quantizer="lsq"))
        assert not any(isinstance(module, norm) for module in model.modules())
        set_mode(model, "float")
        assert torch.allclose(model(image), before, atol=1e-5)
        set_mode(model, "observe")
        calibrate(model, [image])
        assert 0 < float((model(image) - before).abs().max()) < 0.03
