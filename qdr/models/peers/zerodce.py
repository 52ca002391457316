"""Zero-DCE: seven convolutions that estimate curves, and the curves that change the image.

Guo et al., "Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement", CVPR 2020 (arXiv 2001.06826). Equation 4:
a pixel x becomes x + A x (1 - x), eight times, with a map A in (-1, 1) per step and colour. Section 3.2: the maps come from
seven 3x3 convolutions of 32 channels, ReLU, tanh at the end; the fifth, sixth and seventh also see the third, second and
first output (`JoinedConv2d` instead of a concatenation). 79,416 parameters, here 88 more biases.

The paper trains it without references, on four losses of the enhanced image alone. Here it is trained like every other
network, on pairs with the pipeline's L1 loss: what is compared is the network, not its losses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.models.peers.join import JoinedConv2d


class ZeroDCE(nn.Module):
    """Restore RGB images: [n, 3, h, w] in [0, 1] -> [n, 3, h, w], of any size; the curves stay in [0, 1].

    Args:
        width: channels of the convolutions.
        steps: how often a curve is applied.
    """

    stride = 1

    def __init__(self, width: int = 32, steps: int = 8) -> None:
        super().__init__()
        self.steps = steps
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3 = nn.Conv2d(width, width, 3, padding=1)
        self.conv4 = nn.Conv2d(width, width, 3, padding=1)
        self.conv5 = JoinedConv2d((width, width), width, 3)
        self.conv6 = JoinedConv2d((width, width), width, 3)
        self.conv7 = JoinedConv2d((width, width), 3 * steps, 3)

    def curves(self, image: Tensor) -> Tensor:
        """The maps A of every step, [n, 3 * steps, h, w] in (-1, 1)."""
        x1 = F.relu(self.conv1(image))
        x2 = F.relu(self.conv2(x1))
        x3 = F.relu(self.conv3(x2))
        x4 = F.relu(self.conv4(x3))
        x5 = F.relu(self.conv5(x3, x4))
        x6 = F.relu(self.conv6(x2, x5))
        return torch.tanh(self.conv7(x1, x6))

    def forward(self, image: Tensor) -> Tensor:
        for curve in self.curves(image).chunk(self.steps, dim=1):
            image = image + curve * image * (1 - image)
        return image
