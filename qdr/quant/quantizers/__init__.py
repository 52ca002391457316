"""How a scale is learned: one quantizer per file, found by its name.

A file `<name>.py` defines two subclasses of `Quantizer`: `Weights` (one scale per output channel or per tensor) and
`Activations` (one scale). `methods.yaml` names it in `quantizer:`; nothing else needs to know it.
"""

from __future__ import annotations

from torch import Size

from qdr import registry
from qdr.quant.quantizers._base import Quantizer, pass_through

__all__ = ["Quantizer", "activations", "pass_through", "weights"]


def weights(name: str, low: int, high: int, shape: Size | tuple[int, ...]) -> Quantizer:
    """The weight quantizer of a name; `shape` of its scale broadcasts against the weight."""
    made: Quantizer = registry.part(__name__, "quantizer", name).Weights(low, high, shape)
    return made


def activations(name: str, low: int, high: int) -> Quantizer:
    """The activation quantizer of a name."""
    made: Quantizer = registry.part(__name__, "quantizer", name).Activations(low, high, ())
    return made
