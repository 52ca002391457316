"""Where a scale starts: from the values a tensor was seen to take, one sample per calibration image.

`minmax` covers all values; `moving-average` follows the range from image to image (Jacob et al., CVPR 2018, arXiv
1712.05877); `percentile` leaves out the largest 0.1 %; `mse` picks the fraction of the range with the least squared
quantization error; `entropy` the clipping whose quantized histogram is nearest in Kullback-Leibler divergence (Migacz,
GTC 2017). Compared in Wu et al. 2020 (arXiv 2004.09602) and Nagel et al. 2021 (arXiv 2106.08295, section 3).

Each is a function of (samples, low, high) to a scale > 0, a scalar; low is 0 on an unsigned grid. Those of weights,
`WEIGHT_OBSERVERS`, take all channels at once, [channels, n], and give a scale for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from qdr.quant.affine import quantize

Observer = Callable[[Sequence[Tensor], int, int], Tensor]
RowObserver = Callable[[Tensor, int, int], Tensor]
_FRACTIONS = tuple(i / 20 for i in range(4, 21))
_SMALLEST = 1e-8
_MOMENTUM = 0.9
_PERCENTILE = 0.999
_BINS = 2048


def minmax(samples: Sequence[Tensor], low: int, high: int) -> Tensor:
    """The scale that covers every value.

    >>> minmax([torch.tensor([-2.0, 1.0])], -128, 127)
    tensor(0.0157)
    """
    largest = torch.stack([x.abs().amax() for x in samples]).amax()
    return torch.clamp(largest / high, min=_SMALLEST)


def moving_average(samples: Sequence[Tensor], low: int, high: int) -> Tensor:
    """The scale of an exponential moving average (momentum 0.9) of each image's largest magnitude.

    >>> moving_average([torch.tensor([1.0]), torch.tensor([2.0])], -1, 1)
    tensor(1.1000)
    """
    largest = samples[0].abs().amax()
    for x in samples[1:]:
        largest = _MOMENTUM * largest + (1 - _MOMENTUM) * x.abs().amax()
    return torch.clamp(largest / high, min=_SMALLEST)


def percentile(samples: Sequence[Tensor], low: int, high: int) -> Tensor:
    """The scale that covers 99.9 % of the magnitudes."""
    magnitudes = torch.cat([x.abs().flatten() for x in samples])
    return torch.clamp(magnitudes.kthvalue(max(1, int(_PERCENTILE * magnitudes.numel()))).values / high, min=_SMALLEST)


def mse(samples: Sequence[Tensor], low: int, high: int) -> Tensor:
    """The scale with the least mean squared error among fractions 0.2 to 1 of the min-max scale."""
    x = torch.cat([sample.flatten() for sample in samples])
    scales = minmax([x], low, high) * torch.tensor(_FRACTIONS)
    errors = torch.stack([(quantize(x, scale, low, high).mul_(scale).sub_(x)).square_().mean() for scale in scales])
    return scales[errors.argmin()]


def entropy(samples: Sequence[Tensor], low: int, high: int) -> Tensor:
    """The scale whose clipped and quantized histogram of magnitudes loses the least information."""
    magnitudes = torch.cat([sample.abs().flatten() for sample in samples])
    largest = float(minmax([magnitudes], low, high)) * high
    histogram = torch.histc(magnitudes, _BINS, 0, largest).double()
    levels = high + 1
    tops = range(max(levels, _BINS // 5), _BINS + 1, max(1, _BINS // 128))
    divergences = torch.stack([_divergence(histogram, top, levels) for top in tops])
    return torch.clamp(torch.tensor(tops[int(divergences.argmin())] / _BINS * largest / high), min=_SMALLEST)


def _divergence(histogram: Tensor, top: int, levels: int) -> Tensor:
    """KL divergence of the histogram clipped at bin `top` to the same histogram on `levels` levels."""
    clipped = histogram[:top].clone()
    clipped[-1] += histogram[top:].sum()
    group = torch.arange(top) * levels // top
    filled = (histogram[:top] > 0).double()
    mass = torch.zeros(levels, dtype=torch.double).index_add_(0, group, histogram[:top])
    cells = torch.zeros(levels, dtype=torch.double).index_add_(0, group, filled)
    spread = (mass / cells.clamp(min=1))[group] * filled
    p, q = clipped / clipped.sum(), spread / spread.sum().clamp(min=1e-12)
    present = p > 0
    return (p[present] * (p[present] / q[present].clamp(min=1e-12)).log()).sum()


OBSERVERS: dict[str, Observer] = {
    "minmax": minmax,
    "moving-average": moving_average,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}


def minmax_rows(rows: Tensor, low: int, high: int) -> Tensor:
    """`minmax` of each row, [n]."""
    return torch.clamp(rows.abs().amax(dim=1) / high, min=_SMALLEST)


def mse_rows(rows: Tensor, low: int, high: int) -> Tensor:
    """`mse` of each row, [n]."""
    scales = minmax_rows(rows, low, high)[:, None] * torch.tensor(_FRACTIONS)
    errors = [(quantize(rows, s, low, high).mul_(s).sub_(rows)).square_().mean(dim=1) for s in scales.T[:, :, None]]
    return scales.gather(1, torch.stack(errors).argmin(dim=0)[:, None])[:, 0]


# A channel has 12 to 864 weights: too few for a percentile or a histogram (measured: 0.65 and 2.2 dB lost at W8A8).
WEIGHT_OBSERVERS: dict[str, RowObserver] = {"minmax": minmax_rows, "mse": mse_rows}
