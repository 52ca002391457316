"""What is calibrated on is checked before it is used, and a scale that no engine computes with is never exported."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qdr.errors import QdrError
from qdr.images.calibration import checked, fitted
from qdr.quant.prepare import freeze, quantized_layers
from tests.networks import quantized, small_efm


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([], "no images to calibrate with"),
        ([torch.zeros(1, 3, 64, 64)] * 3, "all 3 calibration images are of one colour"),
        ([torch.full((2, 3, 32, 32), 0.3)], "all 1 calibration images are of one colour"),
        ([torch.rand(1, 3, 32, 32) * 255], r"image 0 has values from .* to .*: \[0, 1\] is needed, divide by 255"),
        ([torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32) * 2 - 1], "image 1 has values from -"),
        ([torch.rand(1, 3, 32, 32) / 0 * 0], "image 0 holds values that are no numbers"),
        ([torch.randint(0, 255, (1, 3, 32, 32), dtype=torch.uint8)], "is of torch.uint8: floats in"),
        ([torch.rand(3, 32, 32)], r"has shape \[3, 32, 32\]"),
    ],
)
def test_images_on_which_nothing_can_be_measured(images: list[Tensor], said: str) -> None:
    with pytest.raises(QdrError, match=said):
        checked(images)


def test_one_flat_image_among_others_is_no_mistake() -> None:
    assert len(checked([torch.zeros(1, 3, 32, 32), torch.rand(1, 3, 32, 32)])) == 2


@pytest.mark.parametrize("sides", [(333, 127), (61, 97), (20, 40), (1, 2), (32, 64)])
def test_every_size_calibrates(sides: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *sides)
    assert all(side % 32 == 0 for side in fitted(image).shape[2:])
    assert torch.equal(fitted(image)[:, :, :1, :1], image[:, :, :1, :1])
    quantized(small_efm(), checked([image]))


@pytest.mark.parametrize("weights", [True, False], ids=["weights", "activations"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_broken_scale_is_exported(weights: bool, value: float) -> None:
    """Scales of NaN, infinity and zero: their logarithm is what a training drives away."""
    model = quantized(small_efm())
    layers = [layer for layer in quantized_layers(model) if hasattr(layer, "conv") == weights]
    with torch.no_grad():
        layers[1].quantizer.log_scale.fill_(value)
    with pytest.raises(QdrError, match=r"the scale of '.*' is (nan|inf|0\.0): the model's"):
        freeze(model)


def test_weights_that_are_no_numbers_do_not_calibrate() -> None:
    model = small_efm()
    with torch.no_grad():
        next(p for p in model.parameters() if p.dim() == 4).view(-1)[0] = float("nan")
    with pytest.raises(QdrError, match="gives values that are no numbers"):
        quantized(model)
