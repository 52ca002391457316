"""NAFNet: a restoration network that was not made for integer engines, as a peer to quantize.

Chen et al., "Simple Baselines for Image Restoration", ECCV 2022 (arXiv 2204.04676), figures 2 and 3: a U-shaped network of
blocks without activation functions. A block is two residual halves, each scaled by a learned vector that starts at zero:

    x + beta  * conv1(SCA(gate(depthwise3(conv1(norm(x))))))         gate(a, b) = a * b, halves of the channels
    x + gamma * conv1(gate(conv1(norm(x))))                          SCA(y) = y * conv1(mean(y))

Down: 2x2 convolution of stride 2, twice the channels. Up: 1x1 convolution and pixel shuffle; skips are added. Source of the
structure: the paper; the counts of blocks here are small, one per level. The only change: the 1x1 convolution of the
up-sampling has a bias, which the paper's code leaves out. It carries no quantization points: `qdr.quant.prepare` puts one in
front of every convolution, while normalization, gates and additions stay in FP32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """Layer normalization over the channels of each pixel, [n, c, h, w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        normed: Tensor = centred * torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + 1e-6) * self.weight + self.bias
        return normed


class NAFBlock(nn.Module):
    """One block, [n, c, h, w] -> [n, c, h, w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, wide, 1)
        self.depthwise = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.attention = nn.Conv2d(channels, channels, 1)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.conv3 = nn.Conv2d(channels, wide, 1)
        self.conv4 = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = _gate(self.depthwise(self.conv1(self.norm1(x))))
        y = y * self.attention(y.mean(dim=(2, 3), keepdim=True))
        x = x + self.beta * self.conv2(y)
        z: Tensor = x + self.gamma * self.conv4(_gate(self.conv3(self.norm2(x))))
        return z


class NAFNet(nn.Module):
    """Restore RGB images: [n, 3, h, w] in [0, 1] -> [n, 3, h, w], not clipped; h and w multiples of `stride`.

    Args:
        width: channels at full resolution; each level below has twice as many.
        levels: number of halvings.
    """

    parts = {"encoder": "encoders", "bottleneck": "middle", "decoder": "decoders"}  # noqa: RUF012

    def __init__(self, width: int = 16, levels: int = 3) -> None:
        super().__init__()
        self.stride = 2**levels
        channels = [width * 2**i for i in range(levels + 1)]
        self.intro, self.ending = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.encoders = nn.ModuleList(NAFBlock(c) for c in channels[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, stride=2) for c in channels[:-1])
        self.middle = NAFBlock(channels[-1])
        self.ups = nn.ModuleList(nn.Sequential(nn.Conv2d(2 * c, 4 * c, 1), nn.PixelShuffle(2)) for c in channels[:-1])
        self.decoders = nn.ModuleList(NAFBlock(c) for c in channels[:-1])

    def forward(self, image: Tensor) -> Tensor:
        x, skips = self.intro(image), []
        for encode, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encode(x))
            x = down(skips[-1])
        x = self.middle(x)
        for up, decode, skip in reversed(list(zip(self.ups, self.decoders, skips, strict=True))):
            x = decode(up(x) + skip)
        restored: Tensor = image + self.ending(x)
        return restored


def _gate(x: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=1)
    return a * b
