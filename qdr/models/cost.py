"""What a network costs: parameters, and multiply-accumulate operations (MACs) for an image.

MACs are those of convolutions and matrix products, counted by PyTorch's own counter in one forward pass (a multiplication
and an addition are one MAC); additions, activations, normalization and resampling are not counted, as is customary. The
pass runs on shapes alone: no weight is made and nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Parameters, and MACs of one image."""

    parameters: int
    macs: int


def cost(build: Callable[[], nn.Module], height: int, width: int) -> Cost:
    """The cost of the network that `build` makes, for an image [1, 3, height, width]; both multiples of its stride."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = build().eval().requires_grad_(False)  # the counter would look for gradient functions
        model(torch.empty(1, 3, height, width))
    return Cost(sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2)
