"""The networks by name."""

from __future__ import annotations

from torch import nn

from qdr.config import ModelConfig
from qdr.errors import check_choice
from qdr.models.efm import EFM
from qdr.models.peers.nafnet import NAFNet

MODELS = ("efm", "efm-no-ldg", "efm-wide", "nafnet")
WIDER = 32  # channels that efm-wide has more at every level


def build_model(name: str, config: ModelConfig) -> nn.Module:
    """A network with fresh weights: [n, 3, h, w] in [0, 1] to the same; h and w multiples of its `stride`.

    `efm-no-ldg` is the EFM without Learnable Degradation Gating, `efm-wide` a teacher with more channels,
    `nafnet` a peer of width 16 that was not made for integer engines.
    """
    check_choice("model", name, MODELS)
    if name == "nafnet":
        return NAFNet()
    channels = [c + WIDER for c in config.channels] if name == "efm-wide" else config.channels
    return EFM(channels, config.blocks, gating="none" if name == "efm-no-ldg" else "every")


def stride(model: nn.Module) -> int:
    """What height and width must be a multiple of."""
    return int(model.stride)  # type: ignore[arg-type]
