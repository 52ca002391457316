from __future__ import annotations

import torch

from qdr.distill.points import modules_at
from qdr.models.peers.nafnet import ChannelNorm, NAFNet
from qdr.quant.layers import ActivationQuantizer, QuantConv2d
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare


def network() -> NAFNet:
    torch.manual_seed(0)
    model = NAFNet(8, 2)
    for name, parameter in model.named_parameters():
        if name.endswith(("beta", "gamma")):
            torch.nn.init.constant_(parameter, 0.5)
    return model.eval()


def test_a_fresh_block_is_the_identity_and_shapes_hold() -> None:
    model, image = NAFNet(8, 2), torch.rand(2, 3, 16, 24)
    assert model(image).shape == image.shape
    feature = torch.rand(1, 8, 4, 4)
    assert torch.equal(model.encoders[0](feature), feature)


def test_channel_norm_is_torchs_layer_norm_over_channels() -> None:
    x = torch.randn(2, 6, 3, 5) * 3 + 1
    theirs = torch.nn.functional.layer_norm(x.permute(0, 2, 3, 1), (6,), eps=1e-6).permute(0, 3, 1, 2)
    assert torch.allclose(ChannelNorm(6)(x), theirs, atol=1e-5)


def test_its_parts_are_found_where_distillation_taps() -> None:
    assert modules_at(network(), "all") == ["encoders.0", "encoders.1", "middle", "decoders.0", "decoders.1"]


def test_it_is_quantized_unmodified() -> None:
    """Of its file and its engines: test_peers.py."""
    model, image = network(), torch.rand(1, 3, 32, 24)
    before = model(image).detach()
    prepare(model, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(model, [torch.rand(1, 3, 32, 32) for _ in range(2)])
    convs = [m for m in model.modules() if isinstance(m, QuantConv2d)]
    assert len(convs) == sum(isinstance(m, ActivationQuantizer) for m in model.modules())
    after = model(image).detach()
    assert 0 < float((after - before).norm() / (before - image).norm()) < 0.1
