"""The parts restoration networks are built from, shaped so that INT8 engines fuse them.

A `QuantPoint` marks a tensor that an integer engine stores as 8 bits. In FP32 it is the identity; `qdr.quant.prepare`
replaces it by a learned quantizer. A network states its points itself, in its forward pass, so that the place of every
quantizer can be read where the tensor is made:

- each input of a convolution and both inputs of an addition come from a point,
- no point stands between a convolution and the ReLU or the addition that the engine fuses with it.

Measured reasons (OpenVINO and ONNX Runtime on x86 with VNNI): dense 3x3 convolution + ReLU and additive skips keep
3 to 4 times FP32 speed in INT8; LayerNorm, hard-sigmoid, depthwise and concatenation lose it.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class QuantPoint(nn.Module):
    """A tensor an INT8 engine keeps in 8 bits: the identity until `qdr.quant.prepare` puts a quantizer here."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class ResidualBlock(nn.Module):
    """`relu(x + conv(relu(conv(x))))`, 3x3, [n, c, h, w] -> [n, c, h, w]; `x` is quantized, and so is the result."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.point1 = QuantPoint()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.point2 = QuantPoint()
        nn.init.zeros_(self.conv2.weight)  # the block starts as the identity, which a deep plain net trains best from

    def forward(self, x: Tensor) -> Tensor:
        y = self.point1(F.relu(self.conv1(x)))
        y = self.point2(F.relu(x + self.conv2(y)))
        return y  # type: ignore[no-any-return]


class Down(nn.Module):
    """Halve the resolution with a 2x2 convolution of stride 2: [n, c, h, w] -> [n, d, h/2, w/2]."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 2, stride=2)
        self.point = QuantPoint()

    def forward(self, x: Tensor) -> Tensor:
        return self.point(F.relu(self.conv(x)))  # type: ignore[no-any-return]


class Up(nn.Module):
    """Double the resolution and add the skip: 1x1 convolution, nearest neighbour (or pixel shuffle), addition.

    `x` [n, c, h/2, w/2] and `skip` [n, d, h, w] are quantized; so is the result [n, d, h, w].
    """

    def __init__(self, channels: int, out_channels: int, shuffle: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * out_channels if shuffle else out_channels, 1)
        self.enlarge = nn.PixelShuffle(2) if shuffle else nn.Upsample(scale_factor=2, mode="nearest")
        self.point1 = QuantPoint()
        self.point2 = QuantPoint()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        up = self.enlarge(self.point1(self.conv(x)))
        return self.point2(F.relu(up + skip))  # type: ignore[no-any-return]


class GlobalContext(nn.Module):
    """`relu(x + conv2(relu(conv1(mean of x))))`: what the whole image is like, added at every place.

    [n, c, h, w] -> [n, c, h, w]; `x` is quantized, and so is the result. A small network sees a tenth of a photograph at
    once; exposure, airlight and noise level are those of all of it. Global average pooling as in Hu et al., CVPR 2018
    (arXiv 1709.01507), but added to the features, not multiplied: engines fuse additions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.point_mean = QuantPoint()
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.point1 = QuantPoint()
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.point2 = QuantPoint()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        mean = self.point_mean(x.mean(dim=(2, 3), keepdim=True))
        y = self.point1(F.relu(self.conv1(mean)))
        return self.point2(F.relu(x + self.conv2(y)))  # type: ignore[no-any-return]


def stride(model: nn.Module) -> int:
    """What height and width must be a multiple of."""
    return int(model.stride)  # type: ignore[arg-type]
