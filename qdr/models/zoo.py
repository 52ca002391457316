"""The networks by name."""

from __future__ import annotations

from qdr.config import ModelConfig
from qdr.errors import check_choice
from qdr.models.efm import EFM

MODELS = ("efm", "efm-no-ldg")


def build_model(name: str, config: ModelConfig) -> EFM:
    """A network with fresh weights; `efm-no-ldg` is the EFM without Learnable Degradation Gating."""
    check_choice("model", name, MODELS)
    return EFM(config.channels, config.blocks, gating=name == "efm")
