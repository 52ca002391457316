"""Two plain networks as most people write them: DnCNN with batch normalization in one chain, a U-Net with concatenations.

qdr quantize dncnn.pth --factory examples/plain.py:dncnn --images frames --out dncnn-int8.onnx
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DnCNN(nn.Module):
    """Zhang et al., IEEE TIP 2017 (arXiv 1608.03981), of `depth` convolutions: [n, 3, h, w] in [0, 1] -> the same."""

    def __init__(self, depth: int = 10, width: int = 48) -> None:
        super().__init__()
        chain: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            chain += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*chain, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x - self.model(x)


class UNet(nn.Module):
    """Ronneberger et al., MICCAI 2015 (arXiv 1505.04597), with padding and a residual; sides multiples of 4."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.one, self.two, self.three = _double(3, width), _double(width, 2 * width), _double(2 * width, 4 * width)
        self.pool = nn.MaxPool2d(2)
        self.up2, self.back2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), _double(4 * width, 2 * width)
        self.up1, self.back1 = nn.ConvTranspose2d(2 * width, width, 2, 2), _double(2 * width, width)
        self.out = nn.Conv2d(width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x)
        two = self.two(self.pool(one))
        three = self.three(self.pool(two))
        y = self.back2(torch.cat([self.up2(three), two], dim=1))
        y = self.back1(torch.cat([self.up1(y), one], dim=1))
        return x + self.out(y)


def _double(channels: int, out: int) -> nn.Sequential:
    convolutions = [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*convolutions, nn.Conv2d(out, out, 3, padding=1), nn.ReLU(inplace=True))


def dncnn() -> DnCNN:
    """Ten convolutions of 48 channels."""
    return DnCNN()


def unet() -> UNet:
    """32 channels, two halvings."""
    return UNet()
