"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import nn

from qdr.errors import check_choice
from qdr.models.efm import EFM, Gating
from qdr.models.peers.aodnet import AODNet
from qdr.models.peers.dncnn import DnCNN
from qdr.models.peers.ffdnet import FFDNet
from qdr.models.peers.nafnet import NAFNet
from qdr.models.peers.prenet import PReNet
from qdr.models.peers.restormer import Restormer
from qdr.models.peers.zerodce import ZeroDCE
from qdr.suite.config import ModelConfig

WIDER = 32  # channels that efm-wide has more at every level
NETWORKS: dict[str, Callable[[ModelConfig], nn.Module]] = {
    "efm": lambda c: EFM(c.channels, c.blocks, cast(Gating, c.gating), context=c.context),
    "efm-no-ldg": lambda c: EFM(c.channels, c.blocks, "none", context=c.context),  # without Learnable Degradation Gating
    "efm-wide": lambda c: EFM([channels + WIDER for channels in c.channels], c.blocks),  # a teacher
    # presets beside `efm`, which is `base`, and what else was tried for it
    "efm-nano": lambda _: EFM([32, 32, 64], [1, 1, 1]),
    "efm-large": lambda _: EFM([64, 96, 128], [1, 1, 2]),
    "efm-deep": lambda c: EFM(c.channels, [2 for _ in c.blocks]),
    "efm-two-levels": lambda _: EFM([32, 64], [2, 2]),
    "efm-quarter": lambda _: EFM([64, 96], [2, 2], stem=4),
    "efm-last-gate": lambda c: EFM(c.channels, c.blocks, "last"),
    "efm-scaling-gate": lambda c: EFM(c.channels, c.blocks, "scaling"),
    "efm-shuffle": lambda c: EFM(c.channels, c.blocks, shuffle=True),
    "nafnet": lambda _: NAFNet(),
    "nafnet-32": lambda _: NAFNet(32),
    "restormer-small": lambda _: Restormer(),
    "prenet": lambda _: PReNet(),
    "dncnn": lambda _: DnCNN(),
    "ffdnet": lambda _: FFDNet(),
    "aodnet": lambda _: AODNet(),
    "zerodce": lambda _: ZeroDCE(),
}


def build_model(name: str, config: ModelConfig) -> nn.Module:
    """A network with fresh weights: [n, 3, h, w] in [0, 1] to the same; h and w multiples of its `stride`.

    Peers, which were not made for integer engines, have their paper's size, but for NAFNet and Restormer, which are smaller.
    """
    check_choice("model", name, NETWORKS)
    return NETWORKS[name](config)
