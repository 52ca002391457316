"""Restormer: a U-shaped transformer whose attention goes over channels.

Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022 (arXiv 2111.09881), figure
2. A block is two residual halves on a normalized input:

    MDTA (equation 1): q, k, v = depthwise3(conv1(x)); softmax(t * q k^T) v with q and k of length 1 over the pixels, per
    head, [c/heads, c/heads]: linear in the number of pixels
    GDFN (equation 2): conv1(gelu(a) * b), a, b = halves of depthwise3(conv1(x)), 2.66 times the channels each

Down: 3x3 convolution to half the channels and pixel unshuffle; up: to twice the channels and pixel shuffle. Skips are
joined by a 1x1 convolution (`JoinedConv2d`), at full resolution concatenated; refinement blocks and a 3x3 convolution make
the residual. The paper's network is width 48 with 4, 6, 6, 8 blocks and 4 for refinement, 26.1 million parameters; the
defaults here are small, and every convolution has a bias (the paper's have none), because the quantized layers need one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.models.peers.join import JoinedConv2d
from qdr.models.peers.nafnet import ChannelNorm

EXPANSION = 2.66


class Attention(nn.Module):
    """Multi-Dconv head transposed attention (MDTA), [n, c, h, w] -> [n, c, h, w]."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.conv1 = nn.Conv2d(channels, 3 * channels, 1)
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels)
        self.conv2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = self.depthwise(self.conv1(x)).chunk(3, dim=1)
        q, k, v = (part.reshape(n, self.heads, c // self.heads, h * w) for part in parts)
        alike = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        y: Tensor = self.conv2(((alike * self.temperature).softmax(dim=-1) @ v).reshape(n, c, h, w))
        return y


class FeedForward(nn.Module):
    """Gated-Dconv feed-forward network (GDFN), [n, c, h, w] -> [n, c, h, w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = int(EXPANSION * channels)
        self.conv1 = nn.Conv2d(channels, 2 * wide, 1)
        self.depthwise = nn.Conv2d(2 * wide, 2 * wide, 3, padding=1, groups=2 * wide)
        self.conv2 = nn.Conv2d(wide, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.depthwise(self.conv1(x)).chunk(2, dim=1)
        y: Tensor = self.conv2(F.gelu(a) * b)
        return y


class TransformerBlock(nn.Module):
    """One block, [n, c, h, w] -> [n, c, h, w]."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = ChannelNorm(channels), Attention(channels, heads)
        self.norm2, self.feed = ChannelNorm(channels), FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.feed(self.norm2(x))
        return y


class Restormer(nn.Module):
    """Restore RGB images: [n, 3, h, w] in [0, 1] -> [n, 3, h, w], not clipped; h and w multiples of `stride`.

    Args:
        width: channels at full resolution; each level below has twice as many, and twice as many heads.
        blocks: per level, the last level is the bottleneck.
        refinement: blocks after the decoder.
    """

    parts = {"encoder": "encoders", "bottleneck": "latent", "decoder": "decoders"}  # noqa: RUF012

    def __init__(self, width: int = 16, blocks: Sequence[int] = (1, 1, 1, 2), refinement: int = 1) -> None:
        super().__init__()
        *levels, deepest = range(len(blocks))
        self.stride = 2**deepest
        channels = [width * 2**i for i in range(len(blocks))]
        shown = [2 * width, *channels[1:]]  # channels of the decoder: at full resolution the skip is not reduced
        self.embed = nn.Conv2d(3, width, 3, padding=1)
        self.encoders = nn.ModuleList(_blocks(channels[i], 2**i, blocks[i]) for i in levels)
        self.downs = nn.ModuleList(_down(channels[i]) for i in levels)
        self.latent = _blocks(channels[deepest], 2**deepest, blocks[deepest])
        self.ups = nn.ModuleList(_up(channels[i + 1]) for i in levels)
        self.joins = nn.ModuleList(JoinedConv2d((c, c), c, 1) for c in channels[1:-1])
        self.decoders = nn.ModuleList(_blocks(shown[i], 2**i, blocks[i]) for i in levels)
        self.refine = _blocks(2 * width, 1, refinement)
        self.ending = nn.Conv2d(2 * width, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x, skips = self.embed(image), []
        for encode, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encode(x))
            x = down(skips[-1])
        x = self.latent(x)
        joins = [_concatenate, *self.joins]
        for up, join, decode, skip in reversed(list(zip(self.ups, joins, self.decoders, skips, strict=True))):
            x = decode(join(up(x), skip))
        restored: Tensor = image + self.ending(self.refine(x))
        return restored


def _concatenate(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b], dim=1)


def _blocks(channels: int, heads: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(TransformerBlock(channels, heads) for _ in range(count)))


def _down(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels // 2, 3, padding=1), nn.PixelUnshuffle(2))


def _up(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.PixelShuffle(2))
