"""The Edge-Friendly Model (EFM): a small U-shaped restorer made for integer engines.

FACT (arXiv 2603.09624, abstract): QDR restores with an Edge-Friendly Model that carries Learnable Degradation Gating.
READING (ours): its layers. Every choice follows what INT8 engines run fast and exactly:

    image [0,1] -> 2x-1 -> stem 2x2/2 -> level 0 (1/2) -> down, gate -> level 1 (1/4) -> down, gate -> bottleneck
                                            |                              |                              |
    image + pixel-shuffle <- head 3x3 <- level 0  <-----(+)-----------  level 1  <-----(+)----------------+

- The stem halves the resolution at once: three quarters of the work of a full-resolution U-Net disappears.
- Dense 3x3 convolutions + ReLU with channels in multiples of 32; skips are added, never concatenated (OpenVINO 2026.4
  returns wrong values for a signed INT8 concatenation of residual tensors).
- `2x-1` uses both halves of the signed grid. The global residual `image + ...` stays in FP32: in INT8 it alone would
  cost half a grey level.
- Gates stand after each halving, not at level 0: there, its elementwise work alone would cost 14 % of INT8 latency.
- Levels are named: `encoder[i]`, `bottleneck`, `decoder[i]` are the places distillation taps (`qdr.distill.points`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from qdr.models.blocks import Down, GlobalContext, QuantPoint, ResidualBlock, Up
from qdr.models.ldg import DegradationGate, ScalingGate

Gating = Literal["every", "last", "scaling", "none"]


class EFM(nn.Module):
    """Restore RGB images: [n, 3, h, w] in [0, 1] -> [n, 3, h, w], not clipped; h and w multiples of `stride`.

    Args:
        channels: per level, level 0 at 1 / `stem` of the resolution; the last level is the bottleneck.
        blocks: residual blocks per level, on the way down and again on the way up.
        gating: Learnable Degradation Gating after "every" halving, after the "last" one alone, in its "scaling" form, or
            "none" (the ablation -LDG).
        stem: how many times the stem lowers the resolution.
        shuffle: up-sample by pixel shuffle instead of nearest neighbour.
        context: add what the whole image is like (`GlobalContext`) in front of the bottleneck's blocks.
    """

    def __init__(
        self,
        channels: Sequence[int],
        blocks: Sequence[int],
        gating: Gating = "every",
        stem: int = 2,
        shuffle: bool = False,
        context: bool = False,
    ) -> None:
        super().__init__()
        self.reduction = stem
        self.stride = stem * 2 ** (len(channels) - 1)  # each level after the first halves once more
        levels = range(len(channels) - 1)
        gated = {"every": levels, "last": levels[-1:], "scaling": levels, "none": levels[:0]}[gating]
        gate = ScalingGate if gating == "scaling" else DegradationGate
        self.point_in = QuantPoint()
        self.stem = nn.Conv2d(3, channels[0], stem, stride=stem)
        self.point_stem = QuantPoint()
        self.encoder = nn.ModuleList(_blocks(channels[i], blocks[i]) for i in levels)
        self.gates = nn.ModuleList(gate(channels[i + 1]) if i in gated else nn.Identity() for i in levels)
        self.downs = nn.ModuleList(Down(channels[i], channels[i + 1]) for i in levels)
        self.context = GlobalContext(channels[-1]) if context else nn.Identity()
        self.bottleneck = _blocks(channels[-1], blocks[-1])
        self.ups = nn.ModuleList(Up(channels[i + 1], channels[i], shuffle) for i in levels)
        self.decoder = nn.ModuleList(_blocks(channels[i], blocks[i]) for i in levels)
        self.head = nn.Conv2d(channels[0], 3 * stem**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    @classmethod
    def from_pretrained(cls, task: str) -> EFM:
        """The packaged FP32 network of a task: "lowlight", "dehaze", "derain" or "denoise"; in evaluation mode.

        Raises:
            QdrError: when there are no FP32 weights of that name, or the file is damaged.
        """
        from qdr.models.pretrained import load

        arguments, weights = load(task)
        model = cls(**arguments)
        model.load_state_dict(weights)
        return model.eval()

    def forward(self, image: Tensor) -> Tensor:
        x = self.point_stem(F.relu(self.stem(self.point_in(image * 2 - 1))))
        skips = []
        for encode, gate, down in zip(self.encoder, self.gates, self.downs, strict=True):
            skips.append(encode(x))
            x = gate(down(skips[-1]))
        x = self.bottleneck(self.context(x))
        for up, decode, skip in reversed(list(zip(self.ups, self.decoder, skips, strict=True))):
            x = decode(up(x, skip))
        return image + F.pixel_shuffle(self.head(x), self.reduction)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))
