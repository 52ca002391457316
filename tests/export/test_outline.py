"""Models of one outline share a graph, so whatever changes a graph must change the outline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qdr.export.outline import outline
from tests.networks import quantized, small_efm


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.factor, self.offset, self.bend = 1.0, torch.zeros(3, 1, 1), torch.relu

    def forward(self, x: Tensor) -> Tensor:
        return self.bend(self.second(self.first(x - self.mean))) * self.factor + self.offset


def other_class(net: nn.Module) -> None:
    net.__class__ = type("Net", (Net,), {"__qualname__": Net.__qualname__, "__module__": Net.__module__})


CHANGES: dict[str, Callable[[Any], object]] = {
    "a number": lambda net: setattr(net, "factor", 2.0),
    "a tensor that is no buffer": lambda net: setattr(net, "offset", torch.ones(3, 1, 1)),
    "a function": lambda net: setattr(net, "bend", torch.tanh),
    "a function of Python": lambda net: setattr(net, "bend", lambda x: x),
    "an attribute of a layer": lambda net: setattr(net.first, "padding", (1, 1)),
    "a layer": lambda net: setattr(net, "second", nn.Identity()),
    "a shape": lambda net: setattr(net, "mean", torch.zeros(1, 1, 1)),
    "a type": lambda net: net.first.double(),
    "one parameter in two places": lambda net: setattr(net.second, "weight", net.first.weight),
    "a hook": lambda net: net.first.register_forward_hook(lambda *_: None),
    "a class of the same name": other_class,
}


def test_it_is_the_same_for_other_weights() -> None:
    assert outline(Net()) == outline(Net())
    assert outline(quantized(small_efm(0.5))) == outline(quantized(small_efm(0.6), [torch.rand(1, 3, 16, 16)]))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_else_changes_changes_it(change: Callable[[Any], object]) -> None:
    net = Net()
    change(net)
    assert outline(net) not in (outline(Net()), None)


def test_what_cannot_be_told_has_none() -> None:
    net = Net()
    net.lock = threading.Lock()
    assert outline(net) is None
