"""What a trace of a model depends on, so that models which differ in their weights only share one."""

from __future__ import annotations

import io
import pickle
from collections.abc import Hashable
from itertools import chain
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn


def outline(model: nn.Module) -> Hashable | None:
    """All that a model's modules hold, but of its parameters and buffers only types and shapes; None if it does not pickle.

    Equal outlines give equal graphs. Not seen is what a network reads elsewhere while it runs: global variables, files.
    """
    file = io.BytesIO()
    pickler = _Pickler(file, model)
    try:
        pickler.dump(model)
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError):
        return None
    return file.getvalue(), *pickler.code


class _Pickler(pickle.Pickler):
    """Writes tensors of a model as their place, type and shape, and keeps classes and functions aside.

    These count as what they are, not by their names: a class that is defined anew is another one.
    """

    def __init__(self, file: io.BytesIO, model: nn.Module) -> None:
        super().__init__(file)
        self._tensors = {id(tensor): i for i, tensor in enumerate(chain(model.parameters(), model.buffers()))}
        self.code: list[Hashable] = []

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            what = self._tensors[id(value)] if id(value) in self._tensors else _content(value)
            return what, str(value.dtype), tuple(value.shape)
        if isinstance(value, type | FunctionType):
            self.code.append(value)
            return len(self.code)
        return None


def _content(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()
