from __future__ import annotations

import torch
from torch import nn

from qdr.models.cost import cost
from qdr.models.peers.aodnet import AODNet
from qdr.models.peers.restormer import Attention, Restormer
from qdr.models.peers.zerodce import ZeroDCE


def test_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 2, stride=2), nn.Conv2d(16, 16, 3, groups=16)
    )
    found = cost(lambda: net, 10, 12)
    assert found.parameters == (3 * 9 + 1) * 8 + (8 * 4 + 1) * 16 + (9 + 1) * 16
    assert found.macs == 10 * 12 * 8 * 27 + 5 * 6 * 16 * 32 + 3 * 4 * 16 * 9


def test_aodnet_by_hand() -> None:
    weights = 3 * (3 * 1 + 3 * 9 + 6 * 25 + 6 * 49 + 12 * 9)
    assert cost(AODNet, 20, 30).macs == 600 * weights


def test_zerodce_by_hand() -> None:
    assert cost(ZeroDCE, 256, 256).macs == 256 * 256 * 9 * (3 * 32 + 3 * 32 * 32 + 2 * 64 * 32 + 64 * 24)


def test_products_of_attention_count() -> None:
    convs = 64 * (8 * 24 + 9 * 24 + 8 * 8)
    products = 2 * 64 * 2 * 4 * 4  # per head, [4, 64] times [64, 4] and [4, 4] times [4, 64]

    class Image(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = Attention(8, 2)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.attention(image.repeat(1, 3, 1, 1)[:, :8])  # type: ignore[no-any-return]

    assert cost(Image, 8, 8).macs == convs + products


def test_hooks_on_every_convolution_agree() -> None:
    """An independent count: output values times the weights behind each."""
    model, counted = Restormer(8, (1, 1), 1), 0

    def hook(module: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal counted
        assert isinstance(module, nn.Conv2d)
        counted += output.numel() * module.weight[0].numel()

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(hook)
    with torch.no_grad():
        model(torch.rand(1, 3, 16, 16))
    heads = [(8, 1, 256), (16, 2, 64), (16, 1, 256), (16, 1, 256)]  # encoder, bottleneck, decoder, refinement
    products = sum(2 * c * c // n * pixels for c, n, pixels in heads)
    assert cost(lambda: Restormer(8, (1, 1), 1), 16, 16).macs == counted + products
