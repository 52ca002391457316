"""A small detector for the embedded profile: objects as centre points (CenterNet; Zhou, Wang and Kraehenbuehl 2019, arXiv
1904.07850), on one grid of stride 8.

    image [0,1] -> 2x-1 -> three convolutions of stride 2 -> residual blocks, dilated 1 1 2 2 1 -> 1x1: classes + 4

Per cell: a logit per class (an object of that class has its centre here), the centre's place within the cell (0 to 1)
and the logarithm of width and height over `SIZE`. Loss, as in the paper: the penalty-reduced focal loss on a heat map with a
Gaussian bump per object, and L1 on place and size at the cells of the centres.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 8
SIZE = 32.0  # pixels; what a size output of 0 means
WIDTHS = (16, 32, 64)
DILATIONS = (1, 1, 2, 2, 1)
PRIOR = 0.02  # of a cell to hold a centre, before training


class CentreNet(nn.Module):
    """[n, 3, h, w] in [0, 1], sides multiples of `STRIDE`, to [n, classes + 4, h/8, w/8]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        inputs = (3, *WIDTHS[:-1])
        self.stem = nn.Sequential(*(_convolution(a, b, stride=2) for a, b in zip(inputs, WIDTHS, strict=True)))
        self.blocks = nn.ModuleList(_convolution(WIDTHS[-1], WIDTHS[-1], dilation=d) for d in DILATIONS)
        self.head = nn.Conv2d(WIDTHS[-1], classes + 4, 1)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.head.bias[:classes] = math.log(PRIOR / (1 - PRIOR))  # type: ignore[index]

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image * 2 - 1)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)  # type: ignore[no-any-return]


def targets(corners: Tensor, labels: Tensor, classes: int, side: int) -> Tensor:
    """What the network should put out for one image: [classes + 5, side/8, side/8], the last plane marks the centres."""
    cells = side // STRIDE
    out = torch.zeros(classes + 5, cells, cells)
    rows, columns = torch.arange(cells)[:, None], torch.arange(cells)[None, :]
    for (left, top, right, bottom), label in zip(corners.tolist(), labels.tolist(), strict=True):
        x, y = (left + right) / 2 / STRIDE, (top + bottom) / 2 / STRIDE
        column, row = min(int(x), cells - 1), min(int(y), cells - 1)
        width, height = right - left, bottom - top
        sigma = max(width, height) / STRIDE / 8 + 0.3
        bump = torch.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * sigma**2))
        out[label] = torch.maximum(out[label], bump)
        inside = [x - column, y - row, math.log(width / SIZE), math.log(height / SIZE)]
        out[classes : classes + 4, row, column] = torch.tensor(inside)
        out[classes + 4, row, column] = 1
    return out


def detection_loss(output: Tensor, target: Tensor) -> Tensor:
    """Focal loss of the heat map plus L1 of place and size, per object."""
    classes = output.shape[1] - 4
    logits, wanted = output[:, :classes], target[:, :classes]
    centre = target[:, classes + 4 :]
    chance = torch.sigmoid(logits)
    hit = (wanted == 1).float()
    found = hit * (1 - chance) ** 2 * F.logsigmoid(logits)
    missed = (1 - hit) * (1 - wanted) ** 4 * chance**2 * F.logsigmoid(-logits)
    place = (output[:, classes:] - target[:, classes : classes + 4]).abs() * centre
    objects: Tensor = centre.sum().clamp(min=1)
    return -(found + missed).sum() / objects + place.sum() / objects


def _convolution(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())
