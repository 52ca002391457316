"""The integer grid: symmetric uniform quantization, and the integer convolution it stands for.

    q = clamp(round(x / s), low, high)        x_hat = s * q

Rounding is half to even and the division is a true division, as in ONNX QuantizeLinear, so that training, ONNX Runtime
and OpenVINO agree bit for bit. The grid is signed with zero point 0, as TensorRT demands. Source: Jacob et al., CVPR
2018 (arXiv 1712.05877), with the symmetric restriction of Wu et al. 2020 (arXiv 2004.09602).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def integer_range(bits: int, narrow: bool = False) -> tuple[int, int]:
    """Smallest and largest integer of a signed grid; `narrow` drops the smallest (weights).

    >>> integer_range(8), integer_range(4, narrow=True)
    ((-128, 127), (-7, 7))
    """
    high = 2 ** (bits - 1) - 1
    return (-high if narrow else -high - 1), high


def quantize(x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """Integers (as floats) of `x`; `scale` > 0 broadcasts against `x`.

    >>> quantize(torch.tensor([-9.0, 0.25, 0.75, 9.0]), torch.tensor(0.5), -8, 7)
    tensor([-8.,  0.,  2.,  7.])
    """
    return torch.clamp(torch.round(x / scale), low, high)


def dequantize(q: Tensor, scale: Tensor) -> Tensor:
    """Real values of the integers `q`.

    >>> dequantize(torch.tensor([-8.0, 7.0]), torch.tensor(0.5))
    tensor([-4.0000,  3.5000])
    """
    return q * scale


def integer_conv2d(q_x: Tensor, q_w: Tensor, q_bias: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """The convolution an INT8 engine computes: integers in, 32-bit accumulators out, no rounding anywhere.

    Inputs are integer-valued; the sum is taken in float64, exact below 2**53. The oracle of the tests.
    """
    return F.conv2d(q_x.double(), q_w.double(), q_bias.double(), stride=stride, padding=padding)
