"""Groups of a quantized network's parameters for an optimizer: what is a scale moves otherwise than what is a weight.

Scales are kept as logarithms: AdamW moves one by about its learning rate a step, a share of the scale. They have no weight
decay, and an eps below the size of their gradients, which at 8 bits lie near AdamW's default of 1e-8.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from qdr.quant.quantizers import Quantizer

EPS = 1e-15


def parameters(model: nn.Module, lr: float, lr_scales: float = 5e-3, weight_decay: float = 0.0) -> list[dict[str, Any]]:
    """Groups for AdamW: weights at `lr`, scales at `lr_scales`; parameters that need no gradient are left out."""
    scales = {id(p): p for m in model.modules() if isinstance(m, Quantizer) for p in m.parameters()}
    weights = [p for p in model.parameters() if id(p) not in scales and p.requires_grad]
    moving = [p for p in scales.values() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": weights, "lr": lr, "weight_decay": weight_decay}]
    return [*groups, {"params": moving, "lr": lr_scales, "weight_decay": 0.0, "eps": EPS}] if moving else groups
