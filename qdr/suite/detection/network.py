"""A small detector for the embedded profile: one grid of stride 8, no anchors (FCOS; Tian et al. 2019, arXiv 1904.01355).

    image [0,1] -> 2x-1 -> 4x4/4 -> 3x3 -> 3x3/2 -> residual convolutions, dilated 1 2 1 2 1 -> 1x1: classes + 4

Per cell: a logit per class (this cell lies at the centre of an object of that class), and the logarithm of the distances
from the cell's centre to the object's left, top, right and bottom over the stride. Cells within `REACH` strides of an
object's centre, and inside it, are to find it. Loss: focal loss of the logits (Lin et al. 2017, arXiv 1708.02002) plus
1 - IoU (generalized: Rezatofighi et al. 2019, arXiv 1902.09630) of the boxes of those cells, both per such cell.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 8
REACH = 1.1  # strides, each way
WIDTHS = (32, 48, 64)
DILATIONS = (1, 2, 1, 2, 1)
PRIOR = 0.01  # of a cell to lie at a centre, before training
START = 1.0  # logarithm of a distance in strides, before training
FOCUS, BALANCE = 2.0, 0.25  # gamma and alpha of the focal loss


class CentreNet(nn.Module):
    """[n, 3, h, w] in [0, 1], sides multiples of `STRIDE`, to [n, classes + 4, h/8, w/8]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.stem = nn.Sequential(_convolution(3, a, 4, 4, 0), _convolution(a, b), _convolution(b, c, stride=2))
        self.blocks = nn.ModuleList(_convolution(c, c, padding=d, dilation=d) for d in DILATIONS)
        self.head = nn.Conv2d(c, classes + 4, 1)
        bias = [math.log(PRIOR / (1 - PRIOR))] * classes + [START] * 4
        self.head.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image * 2 - 1)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)  # type: ignore[no-any-return]


def targets(corners: Tensor, labels: Tensor, classes: int, side: int) -> Tensor:
    """What the network should put out for one image: [classes + 4, side/8, side/8]; no class is 1 where nothing is."""
    cells = side // STRIDE
    out = torch.zeros(classes + 4, cells, cells)
    middle = (torch.arange(cells) + 0.5) * STRIDE
    x, y = middle[None, :].expand(cells, cells), middle[:, None].expand(cells, cells)
    for box, label in zip(corners, labels.tolist(), strict=True):
        left, top, right, bottom = box.tolist()
        distance = torch.stack([x - left, y - top, right - x, bottom - y])
        away = torch.maximum((x - (left + right) / 2).abs(), (y - (top + bottom) / 2).abs())
        here = (away <= REACH * STRIDE) & (distance.amin(0) > 0)
        out[:classes, here] = 0
        out[label, here] = 1
        out[classes:, here] = (distance[:, here] / STRIDE).log()
    return out


def detection_loss(output: Tensor, target: Tensor) -> Tensor:
    """Focal loss of all cells and 1 - generalized IoU of those at an object, over the number of the latter."""
    classes = output.shape[1] - 4
    logits, wanted = output[:, :classes], target[:, :classes]
    cross = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    wrong = (torch.sigmoid(logits) - wanted).abs()
    weight = BALANCE * wanted + (1 - BALANCE) * (1 - wanted)
    here = wanted.amax(1) > 0
    found, true = (boxes[:, classes:].permute(0, 2, 3, 1)[here].exp() for boxes in (output.clamp(max=4.0), target))
    count = here.sum().clamp(min=1)
    return (weight * wrong**FOCUS * cross).sum() / count + (1 - _overlap(found, true)).sum() / count


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """Generalized IoU of boxes around the same points, given as distances [n, 4] to left, top, right and bottom."""
    inner, outer = torch.minimum(a, b), torch.maximum(a, b)
    shared, hull = ((d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3]) for d in (inner, outer))
    union = sum((d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3]) for d in (a, b)) - shared
    return shared / union - (hull - union) / hull


def _convolution(a: int, b: int, side: int = 3, stride: int = 1, padding: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(a, b, side, stride, padding, dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(b), nn.ReLU())
