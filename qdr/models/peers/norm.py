"""Batch normalization that keeps its name in an exported graph.

Ioffe and Szegedy 2015 (arXiv 1502.03167, algorithms 1 and 2). The running statistics are the mean and the standard deviation
of a channel, so that in evaluation each of the four tensors enters one operation: the exporter would otherwise fold a
normalization into the convolution before it, and a file's tensors could no longer be exchanged by name. Engines fold
the four operations into the convolution themselves, `qdr.quant.prepare` folds them before it quantizes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOMENTUM, EPSILON = 0.1, 1e-5


class BatchNorm(nn.Module):
    """Normalize each channel, [n, c, h, w] -> [n, c, h, w], by the batch in training and by running statistics else."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        shape = (1, channels, 1, 1)
        self.weight, self.bias = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return (x - self.mean) / self.deviation * self.weight + self.bias
        mean, variance = torch.zeros(2, x.shape[1], device=x.device)
        y = F.batch_norm(x, mean, variance, self.weight.flatten(), self.bias.flatten(), True, 1.0, EPSILON)
        self.mean.lerp_(mean.view_as(self.mean), MOMENTUM)  # momentum 1 has left the batch's own statistics there
        self.deviation.square_().lerp_((variance + EPSILON).view_as(self.deviation), MOMENTUM).sqrt_()
        return y
