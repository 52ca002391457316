"""AOD-Net: five tiny convolutions that estimate the one unknown of the haze model.

Li et al., "AOD-Net: All-in-One Dehazing Network", ICCV 2017 (arXiv 1707.06543), equation 4: with transmission and airlight
joined in one variable K, the clean image is J = K I - K + b, b = 1. K is estimated by convolutions of three channels each,
1x1, 3x3, 5x5, 7x7 and 3x3, with ReLU; the third sees the first two outputs, the fourth the second and the third, the last
all four (`JoinedConv2d` instead of concatenations). 1761 parameters, here 15 more biases.

One start is ours: the last four biases add up to 1, so that K begins near 1 (J = I) on the living side of its ReLU. The
final ReLU of the authors' code is left to the clipping that every output meets.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from qdr.models.peers.join import JoinedConv2d

B = 1.0


class AODNet(nn.Module):
    """Restore RGB images: [n, 3, h, w] in [0, 1] -> [n, 3, h, w], not clipped, of any size."""

    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 1)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.conv3 = JoinedConv2d((3, 3), 3, 5)
        self.conv4 = JoinedConv2d((3, 3), 3, 7)
        self.conv5 = JoinedConv2d((3, 3, 3, 3), 3, 3)
        for name, bias in self.conv5.named_parameters():
            if name.endswith("bias"):
                nn.init.constant_(bias, 1 / 4)

    def forward(self, image: Tensor) -> Tensor:
        x1 = F.relu(self.conv1(image))
        x2 = F.relu(self.conv2(x1))
        x3 = F.relu(self.conv3(x1, x2))
        x4 = F.relu(self.conv4(x2, x3))
        k = F.relu(self.conv5(x1, x2, x3, x4))
        return k * image - k + B
