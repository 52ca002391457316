"""DnCNN: a plain chain of convolutions with batch normalization that predicts what is to be subtracted.

Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", IEEE TIP 2017 (arXiv
1608.03981), figure 1 and section III: convolution + ReLU, then depth - 2 times convolution + batch normalization + ReLU,
then a convolution; 3x3, 64 channels, zero padding; the restored image is the input less the output. The paper's depth is 17
for a known noise level and 20 for blind denoising.

Convolutions in front of a normalization keep a bias, which is without effect in training; the quantized layers need one.
"""

from __future__ import annotations

from torch import Tensor, nn

from qdr.models.peers.norm import BatchNorm


class DnCNN(nn.Module):
    """Restore RGB images: [n, 3, h, w] in [0, 1] -> [n, 3, h, w], not clipped, of any size.

    Args:
        depth: number of convolutions.
        width: channels between them.
    """

    stride = 1

    def __init__(self, depth: int = 17, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU())
        self.middle = nn.Sequential(*(normed(width) for _ in range(depth - 2)))
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        restored: Tensor = image - self.last(self.middle(self.first(image)))
        return restored


def normed(width: int) -> nn.Sequential:
    """3x3 convolution, batch normalization and ReLU, [n, width, h, w] -> [n, width, h, w]."""
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), BatchNorm(width), nn.ReLU())
