from __future__ import annotations

import torch

from qdr.models.efm import EFM
from qdr.models.peers.aodnet import AODNet
from qdr.models.peers.nafnet import NAFNet
from qdr.suite.evaluate.features import levels


def test_levels_are_those_a_network_has(efm: EFM) -> None:
    image = torch.rand(1, 3, 16, 16)
    assert list(levels(efm, image)) == ["encoder.0", "bottleneck", "decoder.0", "output"]
    assert list(levels(NAFNet(8, 1), image)) == ["encoders.0", "middle", "decoders.0", "output"]
    found = levels(AODNet(), image)
    assert list(found) == ["output"]
    assert found["output"].shape == image.shape
