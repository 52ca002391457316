"""How much of FP32's quality a quantized model keeps; there is no single published definition, so both are stated.

`psnr_ratio` is what papers usually print. It flatters: a model that returns its degraded input still scores 60 % and
more. `gain_recovery` counts only what restoration adds; a model that does nothing scores 0, FP32 scores 1.
"""

from __future__ import annotations


def psnr_ratio(quantized: float, fp32: float) -> float:
    """P_int8 / P_fp32, both in dB.

    >>> round(psnr_ratio(28.95, 30.0), 4)
    0.965
    """
    return quantized / fp32


def gain_recovery(quantized: float, fp32: float, degraded: float) -> float:
    """(P_int8 - P_input) / (P_fp32 - P_input), in dB each; nan if FP32 gains nothing.

    >>> gain_recovery(29.0, 30.0, 20.0)
    0.9
    """
    gain = fp32 - degraded
    return (quantized - degraded) / gain if gain > 0 else float("nan")
