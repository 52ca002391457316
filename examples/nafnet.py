"""NAFNet as its authors' code has it (BasicSR keys, `params` in the checkpoint), for `qdr quantize --factory`.

Chen et al., ECCV 2022 (arXiv 2204.04676), https://github.com/megvii-research/NAFNet (MIT). Written anew from the paper with
the names of that code, so that its checkpoints load; `sidd_width32` is the network of NAFNet-SIDD-width32.pth.

    qdr quantize NAFNet-SIDD-width32.pth --factory examples/nafnet.py:sidd_width32 --images frames --out nafnet-int8.onnx
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm2d(nn.Module):
    """Layer normalization over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        y = centred / (centred.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
        return self.weight.view(1, -1, 1, 1) * y + self.bias.view(1, -1, 1, 1)


class SimpleGate(nn.Module):
    """The product of two halves of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=1)
        return a * b


class NAFBlock(nn.Module):
    """One block, [n, c, h, w] -> [n, c, h, w]."""

    def __init__(self, c: int) -> None:
        super().__init__()
        wide = 2 * c
        self.conv1, self.conv2 = nn.Conv2d(c, wide, 1), nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.conv3 = nn.Conv2d(c, c, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c, 1))
        self.sg = SimpleGate()
        self.conv4, self.conv5 = nn.Conv2d(c, wide, 1), nn.Conv2d(c, c, 1)
        self.norm1, self.norm2 = LayerNorm2d(c), LayerNorm2d(c)
        self.beta, self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1)), nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, inp: Tensor) -> Tensor:
        x = self.sg(self.conv2(self.conv1(self.norm1(inp))))
        x = self.conv3(x * self.sca(x))
        y = inp + x * self.beta
        return y + self.conv5(self.sg(self.conv4(self.norm2(y)))) * self.gamma


class NAFNet(nn.Module):
    """Restore RGB images of any size: [n, 3, h, w] in [0, 1] -> the same."""

    def __init__(self, width: int, middle: int, encoders: list[int], decoders: list[int]) -> None:
        super().__init__()
        self.intro, self.ending = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.encoders, self.decoders, self.ups, self.downs = (nn.ModuleList() for _ in range(4))
        c = width
        for count in encoders:
            self.encoders.append(nn.Sequential(*(NAFBlock(c) for _ in range(count))))
            self.downs.append(nn.Conv2d(c, 2 * c, 2, 2))
            c *= 2
        self.middle_blks = nn.Sequential(*(NAFBlock(c) for _ in range(middle)))
        for count in decoders:
            self.ups.append(nn.Sequential(nn.Conv2d(c, 2 * c, 1, bias=False), nn.PixelShuffle(2)))
            c //= 2
            self.decoders.append(nn.Sequential(*(NAFBlock(c) for _ in range(count))))
        self.padder_size = 2 ** len(encoders)

    def forward(self, inp: Tensor) -> Tensor:
        height, width = inp.shape[2:]
        step = self.padder_size
        inp = F.pad(inp, (0, (step - width % step) % step, 0, (step - height % step) % step))
        x, skips = self.intro(inp), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle_blks(x)
        for decoder, up, skip in zip(self.decoders, self.ups, skips[::-1], strict=True):
            x = decoder(up(x) + skip)
        return (self.ending(x) + inp)[:, :, :height, :width]


def sidd_width32() -> NAFNet:
    """NAFNet-SIDD-width32."""
    return NAFNet(32, 12, [2, 2, 4, 8], [2, 2, 2, 2])


def tiny() -> NAFNet:
    """A small one, for trying out: 16 channels, two halvings."""
    return NAFNet(16, 1, [1, 1], [1, 1])
