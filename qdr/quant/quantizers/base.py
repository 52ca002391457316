"""What every quantizer has: an integer range, a scale, fake quantization, and the integers an engine stores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Size, Tensor, nn

from qdr.quant.affine import quantize


class Quantizer(nn.Module):
    """Fake quantization of one tensor on the grid [low, high].

    The scale is kept as its logarithm: it can never turn negative or zero, which a plain trained scale does within a few
    hundred AdamW steps and which only TensorRT reports.

    Args:
        low: the smallest integer.
        high: the largest integer.
        shape: of the scale, to broadcast against the tensor; () for one scale.
    """

    learns = True  # whether the scale is trained
    exports = True  # whether x_hat = scale * integer, as engines without a zero point compute

    def __init__(self, low: int, high: int, shape: Size | tuple[int, ...]) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.log_scale = nn.Parameter(torch.zeros(shape), requires_grad=self.learns)

    def start(self, scale: Tensor) -> None:
        """Take a calibrated scale (> 0)."""
        with torch.no_grad():
            self.log_scale.copy_(scale.log().reshape(self.log_scale.shape))

    def calibrate(self, samples: Sequence[Tensor], scale: Tensor) -> None:
        """Start from a calibrated scale; a quantizer that learns more than a scale looks at the observed values too."""
        self.start(scale)

    def scale(self, x: Tensor) -> Tensor:
        """The present scale for `x`, > 0, in the shape given at construction."""
        return self.log_scale.exp()

    def integers(self, x: Tensor) -> Tensor:
        """The integers of `x` (as floats) that an engine stores."""
        return quantize(x, self.scale(x), self.low, self.high)

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, with the gradients this quantizer defines."""
        raise NotImplementedError

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.low, self.high])

    def set_extra_state(self, state: Tensor) -> None:
        self.low, self.high = (int(value) for value in state)


def pass_through(real: Tensor, quantized: Tensor) -> Tensor:
    """The value of `quantized` with the gradient of `real` (Bengio et al. 2013, arXiv 1308.3432)."""
    return real + (quantized - real).detach()
