"""Two networks whose trained weights come in packages, for `qdr quantize --factory`; neither was made or trained here.

    neuro_low_light     Zero-DCE (Guo et al., CVPR 2020, arXiv 2001.06826) as the package neuro-low-light (MIT) trained it on
                        LOL; its weights are neuro_low_light/weights/best_model.pth
    bayer               Deep Joint Demosaicking and Denoising (Gharbi et al., SIGGRAPH Asia 2016), package demosaicnet (MIT);
                        its weights are demosaicnet/data/bayer.pth

Written anew with the names of their code, so that the weights load without the packages' other needs:

    qdr quantize best_model.pth --factory examples/published.py:neuro_low_light --images frames --out low-light-int8.onnx
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Curves(nn.Module):
    """The curves of Zero-DCE: [n, 3, h, w] in [0, 1] -> [n, 3 * count, h, w] in [-1, 1]."""

    def __init__(self, count: int, width: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.conv2, self.conv3, self.conv4 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.conv5, self.conv6 = (nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(2))
        self.conv7 = nn.Conv2d(2 * width, 3 * count, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        one = torch.relu(self.conv1(x))
        two = torch.relu(self.conv2(one))
        three = torch.relu(self.conv3(two))
        five = torch.relu(self.conv5(torch.cat([torch.relu(self.conv4(three)), three], dim=1)))
        six = torch.relu(self.conv6(torch.cat([five, two], dim=1)))
        return torch.tanh(self.conv7(torch.cat([six, one], dim=1)))


class ZeroDCE(nn.Module):
    """Brighten RGB images of any size: [n, 3, h, w] in [0, 1] -> the same."""

    def __init__(self, count: int = 8) -> None:
        super().__init__()
        self.dce_net, self.count = Curves(count), count

    def forward(self, x: Tensor) -> Tensor:
        for curve in self.dce_net(x).chunk(self.count, dim=1):
            x = torch.clamp(x - curve * (x * (1 - x)), 0, 1)
        return x


class BayerDemosaick(nn.Module):
    """Undo the Bayer mosaic (green red, blue green) that it takes of RGB images: [n, 3, h, w] in [0, 1] -> the same."""

    mask: Tensor

    def __init__(self, depth: int = 15, width: int = 64) -> None:
        super().__init__()
        chain: list[tuple[str, nn.Module]] = [("pack_mosaic", nn.Conv2d(3, 4, 2, stride=2))]
        for i in range(1, depth + 1):
            sizes = 4 if i == 1 else width, 2 * width if i == depth else width
            chain += [(f"conv{i}", nn.Conv2d(*sizes, 3, padding=1)), (f"relu{i}", nn.ReLU())]
        self.main_processor = nn.Sequential()
        for name, layer in chain:
            self.main_processor.add_module(name, layer)
        self.residual_predictor = nn.Conv2d(width, 12, 1)
        self.upsampler = nn.ConvTranspose2d(12, 3, 2, stride=2, groups=3)
        self.fullres_processor = nn.Sequential()
        self.fullres_processor.add_module("post_conv", nn.Conv2d(6, width, 3, padding=1))
        self.fullres_processor.add_module("post_relu", nn.ReLU())
        self.fullres_processor.add_module("output", nn.Conv2d(width, 3, 1))
        seen = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]], dtype=torch.float32)  # of each 2x2, by channel
        self.register_buffer("mask", seen.reshape(1, 12, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        mosaic = F.pixel_shuffle(F.pixel_unshuffle(x, 2) * self.mask, 2)
        filters, masks = self.main_processor(mosaic).chunk(2, dim=1)
        upsampled = self.upsampler(self.residual_predictor(filters * masks))
        return self.fullres_processor(torch.cat([mosaic, upsampled], dim=1))


def neuro_low_light() -> ZeroDCE:
    """Eight curves of 32 channels."""
    return ZeroDCE()


def bayer() -> BayerDemosaick:
    """The released network, with padding, so that it keeps the size."""
    return BayerDemosaick()
