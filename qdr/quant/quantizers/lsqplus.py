"""LSQ+: a trained offset beside the trained step, for activations.

Bhalgat et al., CVPR workshops 2020 (arXiv 2004.09576), eq. 4: x_hat = s * clamp(round((x - beta) / s), low, high) + beta.
Step and offset start where the squared error of the observed values is least (section 3.3), sought among ranges whose ends
are fractions of the observed ones. Weights are LSQ's; the paper starts them from mean and deviation, here they start from
`weight_observer`, like LSQ's.

An offset is a zero point, and TensorRT's explicit quantization has none: models with it are measured as fake
quantization only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Size, Tensor, nn

from qdr.quant.affine import quantize
from qdr.quant.quantizers.base import Quantizer
from qdr.quant.quantizers.lsq import LSQ, fake_quantize

_ENDS = tuple(i / 12 for i in range(13))  # fractions of the least and the largest value that a range may end at
_VALUES = 16384


class StepAndOffset(Quantizer):
    """beta = offset * (high - low) * scale: the offset is learned in widths of the grid, at a rate of its own."""

    exports = False

    def __init__(self, low: int, high: int, shape: Size | tuple[int, ...]) -> None:
        super().__init__(low, high, shape)
        self.offset = nn.Parameter(torch.zeros(shape))

    def calibrate(self, samples: Sequence[Tensor], scale: Tensor) -> None:
        x, levels = torch.cat([sample.flatten() for sample in samples]), self.high - self.low
        x = torch.cat([x[:: -(-x.numel() // _VALUES)], torch.stack(x.aminmax())])
        choices = [(scale, torch.zeros(()))]
        for least in x.amin() * torch.tensor(_ENDS):
            for largest in x.amax() * torch.tensor(_ENDS):
                if largest > least:
                    step = (largest - least) / levels
                    choices.append((step, least - self.low * step))
        errors = [
            (quantize(x - beta, step, self.low, self.high).mul_(step).add_(beta).sub_(x)).square_().mean()
            for step, beta in choices
        ]
        step, beta = choices[int(torch.stack(errors).argmin())]
        self.start(step)
        with torch.no_grad():
            self.offset.copy_(beta / step / levels)

    def integers(self, x: Tensor) -> Tensor:
        scale = self.scale(x)
        return quantize(x - self._beta(scale), scale, self.low, self.high)

    def forward(self, x: Tensor) -> Tensor:
        beta = self._beta(self.log_scale.exp().detach())
        return fake_quantize(x - beta, self.log_scale, self.low, self.high) + beta

    def _beta(self, scale: Tensor) -> Tensor:
        return self.offset * ((self.high - self.low) * scale)


Weights, Activations = LSQ, StepAndOffset
