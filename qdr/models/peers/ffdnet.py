"""FFDNet: a plain chain of convolutions at half resolution, told how strong the noise is.

Zhang et al., "FFDNet: Toward a Fast and Flexible Solution for CNN-based Image Denoising", IEEE TIP 2018 (arXiv 1710.04026),
figure 1 and section III: the image is rearranged to four times the channels at half resolution and joined with a map of
the noise level (`JoinedConv2d` instead of a concatenation); convolution + ReLU, depth - 2 times convolution + batch
normalization + ReLU and a convolution make the restored image itself (no residual), which is rearranged back. For colour: 12
convolutions of 96 channels.

Restoring blindly, nobody gives the noise level. Here it is one learned number, the same for every image and pixel: the
level that serves the training data best. A level can still be given to `forward`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.models.peers.dncnn import normed
from qdr.models.peers.join import JoinedConv2d

START = 25 / 255  # the level that the learned one starts from


class FFDNet(nn.Module):
    """Restore RGB images: [n, 3, h, w] in [0, 1] -> [n, 3, h, w], not clipped; h and w even.

    Args:
        depth: number of convolutions.
        width: channels between them.
    """

    stride = 2

    def __init__(self, depth: int = 12, width: int = 96) -> None:
        super().__init__()
        self.sigma = nn.Parameter(torch.full((1, 1, 1, 1), START))
        self.first = JoinedConv2d((12, 1), width, 3)
        self.middle = nn.Sequential(*(normed(width) for _ in range(depth - 2)))
        self.last = nn.Conv2d(width, 12, 3, padding=1)

    def forward(self, image: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Restore `image`; `sigma` [n, 1, h/2, w/2] is its noise level in [0, 1], the learned one if it is not given."""
        x = F.pixel_unshuffle(image, 2)
        level = self.sigma.expand(x.shape[0], 1, x.shape[2], x.shape[3]) if sigma is None else sigma
        return F.pixel_shuffle(self.last(self.middle(F.relu(self.first(x, level)))), 2)
