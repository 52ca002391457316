"""Where a scale starts: from the values a tensor was seen to take.

`minmax` covers all values: scale = max|x| / high. `mse` picks, among fractions of that range, the one with the least
mean squared quantization error; at 4 bits it clips the rare large values that would waste the grid. Both are the usual
post-training choices (Wu et al. 2020, arXiv 2004.09602; Nagel et al. 2021, arXiv 2106.08295, section 3).
"""

from __future__ import annotations

import torch
from torch import Tensor

from qdr.quant.affine import quantize

_FRACTIONS = tuple(i / 20 for i in range(4, 21))
_SMALLEST = 1e-8


def minmax_scale(x: Tensor, low: int, high: int) -> Tensor:
    """The scale that covers every value, a scalar > 0.

    >>> minmax_scale(torch.tensor([-2.0, 1.0]), -128, 127)
    tensor(0.0157)
    """
    return torch.clamp(x.abs().amax() / high, min=_SMALLEST)


def mse_scale(x: Tensor, low: int, high: int) -> Tensor:
    """The scale with the least mean squared error among fractions 0.2 to 1 of the min-max scale, a scalar > 0."""
    full = minmax_scale(x, low, high)
    scales = full * torch.tensor(_FRACTIONS)
    errors = torch.stack([(quantize(x, scale, low, high).mul_(scale).sub_(x)).square_().mean() for scale in scales])
    return scales[errors.argmin()]


OBSERVERS = {"minmax": minmax_scale, "mse": mse_scale}
