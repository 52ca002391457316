"""PReNet: one small residual network that is run several times, with a memory.

Ren et al., "Progressive Image Deraining Networks: A Better and Simpler Baseline", CVPR 2019 (arXiv 1901.09221), figure 2. A
stage sees the rainy image and the last stage's result; f_in is a convolution + ReLU, a convolutional LSTM carries its state
from stage to stage, f_res are five residual blocks of two convolutions + ReLU, f_out is a convolution; 3x3, 32 channels. Six
stages share all weights. 168,963 parameters, here 160 more biases (`JoinedConv2d` instead of concatenations).

The input image is added to every stage's output, as in the authors' code. The four gates of the LSTM are computed by one
convolution of four times the channels, which is the same function. The loss sees the last stage alone, which the paper
finds sufficient.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.models.peers.join import JoinedConv2d


class PReNet(nn.Module):
    """Restore RGB images: [n, 3, h, w] in [0, 1] -> [n, 3, h, w], not clipped, of any size.

    Args:
        stages: how often the network is run.
        width: its channels.
        blocks: residual blocks of a stage.
    """

    stride = 1

    def __init__(self, stages: int = 6, width: int = 32, blocks: int = 5) -> None:
        super().__init__()
        self.stages = stages
        self.entry = JoinedConv2d((3, 3), width, 3)
        self.gates = JoinedConv2d((width, width), 4 * width, 3)
        self.blocks = nn.ModuleList(_block(width) for _ in range(blocks))
        self.exit = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        restored, hidden, cell = image, None, None
        for _ in range(self.stages):
            x = F.relu(self.entry(image, restored))
            hidden = torch.zeros_like(x) if hidden is None else hidden
            keep, write, new, show = self.gates(x, hidden).chunk(4, dim=1)
            written = torch.sigmoid(write) * torch.tanh(new)
            cell = written if cell is None else torch.sigmoid(keep) * cell + written
            hidden = torch.sigmoid(show) * torch.tanh(cell)
            x = hidden
            for block in self.blocks:
                x = F.relu(x + block(x))
            restored = image + self.exit(x)
        return restored


def _block(width: int) -> nn.Sequential:
    convs = [nn.Conv2d(width, width, 3, padding=1) for _ in range(2)]
    return nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU())
