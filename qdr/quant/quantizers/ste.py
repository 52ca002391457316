"""Plain straight-through quantization: scales stay as calibrated, only the weights learn.

    x_hat = s * clamp(round(x / s), low, high),      dx_hat/dx = 1 inside the range, 0 outside

Source: Bengio et al. 2013 (arXiv 1308.3432) for the estimator, Jacob et al., CVPR 2018 (arXiv 1712.05877) for its use
in quantization-aware training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qdr.quant.quantizers.base import Quantizer, pass_through


class StraightThrough(Quantizer):
    """A fixed scale."""

    learns = False

    def forward(self, x: Tensor) -> Tensor:
        scale = self.scale(x)
        inside = torch.minimum(torch.maximum(x, scale * self.low), scale * self.high)
        return pass_through(inside, self.integers(x) * scale)


Weights = Activations = StraightThrough
