"""How a scale is learned: one quantizer per file, listed here.

A file defines two subclasses of `Quantizer`: `Weights` (one scale per output channel or per tensor) and `Activations`
(one scale).
"""

from __future__ import annotations

from types import ModuleType

from torch import Size

from qdr.errors import check_choice
from qdr.quant.quantizers import dorefa, lsq, lsqplus, pact, ste
from qdr.quant.quantizers.base import Quantizer, pass_through

__all__ = ["QUANTIZERS", "Quantizer", "activations", "pass_through", "weights"]

QUANTIZERS: dict[str, ModuleType] = {"dorefa": dorefa, "lsq": lsq, "lsqplus": lsqplus, "pact": pact, "ste": ste}


def weights(name: str, low: int, high: int, shape: Size | tuple[int, ...]) -> Quantizer:
    """The weight quantizer of a name; `shape` of its scale broadcasts against the weight.

    Raises:
        QdrError: on an unknown name.
    """
    made: Quantizer = QUANTIZERS[check_choice("quantizer", name, QUANTIZERS)].Weights(low, high, shape)
    return made


def activations(name: str, low: int, high: int) -> Quantizer:
    """The activation quantizer of a name; raises as `weights` does."""
    made: Quantizer = QUANTIZERS[check_choice("quantizer", name, QUANTIZERS)].Activations(low, high, ())
    return made
