"""Small networks for tests of what is exported: weights at random, prepared and calibrated."""

from __future__ import annotations

import torch

from qdr.models.efm import EFM
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare


def small_efm(gain: float = 0.6) -> EFM:
    """A small EFM whose every part does something."""
    torch.manual_seed(0)
    model = EFM((16, 32), (1, 1))
    for parameter in model.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter).data.mul_(gain)
    return model.eval()


def quantized(model: torch.nn.Module, images: list[torch.Tensor] | None = None) -> torch.nn.Module:
    """The model prepared and calibrated at W8A8."""
    torch.manual_seed(1)
    prepare(model, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(model, images or [torch.rand(1, 3, 32, 32)])
    return model
