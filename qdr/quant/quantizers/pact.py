"""PACT: the clipping level of the activations is trained; weights are DoReFa's.

Choi et al. 2018 (arXiv 1805.06085). With the level alpha and s = alpha / high,

    y = clamp(x, s * low, alpha),      x_hat = s * round(y / s),      dx_hat/dalpha = 1 where x >= alpha (eq. 3)

and, on a signed grid, low / high where x is clipped from below. READING: alpha is kept as its logarithm, without
the paper's weight decay on alpha, which would need tuning.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qdr.quant.affine import quantize
from qdr.quant.quantizers.base import Quantizer, pass_through
from qdr.quant.quantizers.dorefa import Weights as DoReFaWeights


class ClippingLevel(Quantizer):
    """alpha = scale * high."""

    def forward(self, x: Tensor) -> Tensor:
        scale = self.scale(x)
        clipped = torch.minimum(torch.maximum(x, scale * self.low), scale * self.high)
        return pass_through(clipped, quantize(clipped, scale, self.low, self.high) * scale)


Weights, Activations = DoReFaWeights, ClippingLevel
