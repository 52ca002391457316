"""Networks that hold every kind of layer between them, small, of one to four channels, weights at random."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Convolutions(nn.Module):
    """3 channels: padding by reflection, replication, in circles; groups, depthwise, dilation, stride, no bias; transposed
    and in groups; normalization outside of any chain, behind a transposed convolution too; a concatenation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, padding_mode="reflect")
        self.replicate = nn.Conv2d(16, 16, (3, 1), padding=(1, 0), padding_mode="replicate", groups=4)
        self.circular = nn.Conv2d(16, 16, 5, padding=2, padding_mode="circular", groups=16)
        self.dilated = nn.Conv2d(16, 16, 3, padding="same", dilation=2)
        self.down = nn.Conv2d(16, 32, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.up = nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1, bias=False)
        self.up_norm = nn.BatchNorm2d(16)
        self.grouped = nn.ConvTranspose2d(16, 16, 3, padding=1, groups=4)
        self.head = nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.stem(image), inplace=True)
        x = F.leaky_relu(self.circular(self.replicate(x)), 0.1)
        y = F.relu(self.norm(self.down(self.dilated(x))))
        y = torch.relu(self.up_norm(self.up(y)))
        return image + self.head(torch.cat([self.grouped(y), x], dim=1))


class Block(nn.Module):
    """Attention over pixels and a two-layer perceptron, [n, pixels, c]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels, bias=False), nn.Linear(channels, channels)
        self.wide, self.narrow = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.out((q @ k.transpose(-2, -1) / 4).softmax(dim=-1) @ v)
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


class Attention(nn.Module):
    """4 channels: patches, linear layers, layer normalization, attention, GELU, pixel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.block = nn.Conv2d(4, 16, 8, stride=8), Block(16)
        self.out, self.shuffle = nn.Conv2d(16, 4 * 64, 1), nn.PixelShuffle(8)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image)
        tokens = self.block(x.flatten(2).transpose(1, 2))
        return image + self.shuffle(self.out(tokens.transpose(1, 2).unflatten(2, x.shape[2:])))


class Residual(nn.Module):
    """A block of two convolutions and an addition; the first is the same as the second's sibling elsewhere."""

    def __init__(self, shared: nn.Module) -> None:
        super().__init__()
        self.shared, self.own = shared, nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.own(F.relu(self.shared(x))))


class Shared(nn.Module):
    """1 channel: blocks that share a convolution under two names, a normalization in a chain, a module that never runs."""

    def __init__(self) -> None:
        super().__init__()
        shared = nn.Conv2d(16, 16, 3, padding=1)
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.a, self.b = Residual(shared), Residual(shared)
        self.plain = Residual(nn.Conv2d(16, 16, 3, padding=1))
        self.unused = nn.Conv2d(16, 16, 3)
        self.head = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return image + self.head(self.plain(self.b(self.a(self.stem(image)))))


class Functional(nn.Module):
    """Multiplies without a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.weight = nn.Parameter(torch.randn(3, 8, 3, 3) / 8)

    def forward(self, image: Tensor) -> Tensor:
        return image + F.conv2d(self.conv(image).relu(), self.weight, padding=1)


KINDS = {"convolutions": (Convolutions, 3), "attention": (Attention, 4), "shared": (Shared, 1)}
KINDS["root"] = (lambda: nn.Conv2d(2, 2, 3, padding=1), 2)


def network(name: str) -> tuple[nn.Module, list[Tensor]]:
    """A network in evaluation mode with statistics of its own, and images it takes."""
    torch.manual_seed(0)
    build, channels = KINDS[name]
    model = build()
    images = [torch.rand(1, channels, 64, 64) for _ in range(3)]
    for _ in range(3):
        model(torch.cat(images))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval(), images
