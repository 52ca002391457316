"""LSQ+: a trained offset beside the trained step, for activations.

Bhalgat et al., CVPR workshops 2020 (arXiv 2004.09576), eq. 4: x_hat = s * clamp(round((x - beta) / s), low, high) + beta.
The offset starts at zero. Weights are LSQ's, as in the paper.

An offset is a zero point, and TensorRT's explicit quantization has none: models with it are measured as fake
quantization only.
"""

from __future__ import annotations

import torch
from torch import Size, Tensor, nn

from qdr.quant.affine import quantize
from qdr.quant.quantizers._base import Quantizer
from qdr.quant.quantizers.lsq import LSQ, fake_quantize


class StepAndOffset(Quantizer):
    """beta = offset * scale: the offset is learned in steps, so that it has the scale's own learning rate."""

    exports = False

    def __init__(self, low: int, high: int, shape: Size | tuple[int, ...]) -> None:
        super().__init__(low, high, shape)
        self.offset = nn.Parameter(torch.zeros(shape))

    def integers(self, x: Tensor) -> Tensor:
        scale = self.scale(x)
        return quantize(x - self.offset * scale, scale, self.low, self.high)

    def forward(self, x: Tensor) -> Tensor:
        step = self.log_scale.exp().detach()
        beta = self.offset * step
        return fake_quantize(x - beta, self.log_scale, self.low, self.high) + beta


Weights, Activations = LSQ, StepAndOffset
