"""DoReFa-style quantization: weights pass through tanh and fill the grid at every step; activations are clipped at rest.

Zhou et al. 2016 (arXiv 1606.06160), eq. 9: w -> tanh(w) / max|tanh(w)|, quantized on [-1, 1]. READING: the result is
multiplied by max|w| of the channel, so that a pretrained network keeps its weights (to third order), as restoration
networks have no normalization to undo a change of scale. Activations keep their calibrated range, straight-through.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qdr.quant.affine import quantize
from qdr.quant.quantizers.base import Quantizer, pass_through
from qdr.quant.quantizers.ste import StraightThrough


class TanhWeights(Quantizer):
    """The scale follows the largest weight; nothing is learned."""

    learns = False

    def scale(self, x: Tensor) -> Tensor:
        return (self._largest(x) / self.high).clamp(min=1e-8)

    def integers(self, x: Tensor) -> Tensor:
        return quantize(self._bent(x), self.scale(x), self.low, self.high)

    def forward(self, x: Tensor) -> Tensor:
        return pass_through(self._bent(x), self.integers(x) * self.scale(x))

    def _bent(self, x: Tensor) -> Tensor:
        largest = self._largest(x).detach()
        return torch.tanh(x) / torch.tanh(largest).clamp(min=1e-8) * largest

    def _largest(self, x: Tensor) -> Tensor:
        shared = [d for d in range(x.dim()) if self.log_scale.dim() == 0 or self.log_scale.shape[d] == 1]
        return x.detach().abs().amax(dim=shared).reshape(self.log_scale.shape)


Weights, Activations = TanhWeights, StraightThrough
