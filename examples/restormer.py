"""Restormer as its authors' code has it (keys of basicsr, no biases), for `qdr quantize --factory`.

Zamir et al., CVPR 2022 (arXiv 2111.09881), https://github.com/swz30/Restormer. Written anew from the paper with the names
of that code, so that its checkpoints (`params`) load; `gaussian_colour` is the network of its colour denoising checkpoints.

    qdr quantize gaussian_color_denoising_sigma25.pth --factory examples/restormer.py:gaussian_colour \
        --images frames --out restormer-int8.onnx
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BiasFree(nn.Module):
    """Layer normalization without mean and bias, over the last dimension."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5) * self.weight


class LayerNorm(nn.Module):
    """The same over the channels of images."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.body = BiasFree(dim)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return self.body(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(n, c, h, w)


class FeedForward(nn.Module):
    """Gated-Dconv feed-forward network."""

    def __init__(self, dim: int, expansion: float) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.project_in = nn.Conv2d(dim, hidden * 2, 1, bias=False)
        self.dwconv = nn.Conv2d(hidden * 2, hidden * 2, 3, padding=1, groups=hidden * 2, bias=False)
        self.project_out = nn.Conv2d(hidden, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(a) * b)


class Attention(nn.Module):
    """Multi-Dconv head transposed attention."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(dim, dim * 3, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(dim * 3, dim * 3, 3, padding=1, groups=dim * 3, bias=False)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        q, k, v = self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        q, k, v = (part.reshape(n, self.num_heads, c // self.num_heads, h * w) for part in (q, k, v))
        attention = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)) * self.temperature
        return self.project_out((attention.softmax(dim=-1) @ v).reshape(n, c, h, w))


class TransformerBlock(nn.Module):
    """One block, [n, c, h, w] -> [n, c, h, w]."""

    def __init__(self, dim: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm1, self.attn = LayerNorm(dim), Attention(dim, heads)
        self.norm2, self.ffn = LayerNorm(dim), FeedForward(dim, expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class Embed(nn.Module):
    """The first convolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Sampling(nn.Module):
    """A convolution and a pixel (un)shuffle."""

    def __init__(self, dim: int, up: bool) -> None:
        super().__init__()
        out = 2 * dim if up else dim // 2
        shuffle = nn.PixelShuffle(2) if up else nn.PixelUnshuffle(2)
        self.body = nn.Sequential(nn.Conv2d(dim, out, 3, padding=1, bias=False), shuffle)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Restormer(nn.Module):
    """Restore RGB images: [n, 3, h, w] in [0, 1] -> the same; sides multiples of 8."""

    def __init__(self, dim: int, blocks: list[int], refinement: int, heads: tuple[int, ...] = (1, 2, 4, 8)) -> None:
        super().__init__()
        expansion = 2.66
        one, two, four, eight = dim, 2 * dim, 4 * dim, 8 * dim

        def chain(width: int, level: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(TransformerBlock(width, heads[level], expansion) for _ in range(count)))

        self.patch_embed = Embed(dim)
        self.encoder_level1, self.down1_2 = chain(one, 0, blocks[0]), Sampling(one, False)
        self.encoder_level2, self.down2_3 = chain(two, 1, blocks[1]), Sampling(two, False)
        self.encoder_level3, self.down3_4 = chain(four, 2, blocks[2]), Sampling(four, False)
        self.latent = chain(eight, 3, blocks[3])
        self.up4_3, self.reduce_chan_level3 = Sampling(eight, True), nn.Conv2d(eight, four, 1, bias=False)
        self.decoder_level3 = chain(four, 2, blocks[2])
        self.up3_2, self.reduce_chan_level2 = Sampling(four, True), nn.Conv2d(four, two, 1, bias=False)
        self.decoder_level2 = chain(two, 1, blocks[1])
        self.up2_1, self.decoder_level1 = Sampling(two, True), chain(two, 0, blocks[0])
        self.refinement = chain(two, 0, refinement)
        self.output = nn.Conv2d(two, 3, 3, padding=1, bias=False)

    def forward(self, inp_img: Tensor) -> Tensor:
        one = self.encoder_level1(self.patch_embed(inp_img))
        two = self.encoder_level2(self.down1_2(one))
        three = self.encoder_level3(self.down2_3(two))
        latent = self.latent(self.down3_4(three))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3(latent), three], 1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), two], 1)))
        x = self.refinement(self.decoder_level1(torch.cat([self.up2_1(x), one], 1)))
        return self.output(x) + inp_img


def gaussian_colour() -> Restormer:
    """The paper's size."""
    return Restormer(48, [4, 6, 6, 8], 4)


def tiny() -> Restormer:
    """A small one, for trying out: 16 channels, a block per level."""
    return Restormer(16, [1, 1, 1, 1], 1)
