"""Which tensor gets how many bits, and why: an ordered list of rules, the last match wins.

The first rule denies, the second enables at the scheme's width, later ones make exceptions by a layer's place in the graph:
in schemes of fewer than 8 bits the image, the first and the last layer keep 8, as is customary (e.g. Esser et al. 2020,
section 3). A first layer has no other before it, a last one none behind it (`qdr.quant.record`). `describe` prints the
decision into every result.

Eight-bit activations are signed with zero point 0, as TensorRT demands. Below eight bits no engine here executes them, and
a tensor that is never negative, such as one after a ReLU, gets the unsigned grid, as in the literature (LSQ, section 2):
half of a 4-bit signed grid would be empty.

W7A8 keeps every weight in [-63, 63]. x86 processors without VNNI multiply pairs of uint8 and int8 and add the two products
in 16 bits (PMADDUBSW), which saturate: 2 * 255 * 127 > 32767. With 7 bits nothing saturates, 2 * 255 * 63 = 32130, in the
first and the last layer too, which therefore keep no eighth bit. NNCF calls the same `overflow_fix`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qdr.errors import check_choice

Place = Literal["every", "image", "first", "last"]
FLOAT = 32  # bits of a tensor that is not quantized


@dataclass(frozen=True)
class QuantizerConfig:
    """How scales are found.

    Args:
        quantizer: how they are learned, a name of `qdr.quant.quantizers.QUANTIZERS`.
        granularity: of weights, "channel" (a scale per output channel) or "tensor".
        observer: how the scales of activations are calibrated, a name of `qdr.quant.observers`.
        weight_observer: how those of weights are, "minmax" or "mse".
        additions: "int8", where an engine fuses an addition with the layer in front of it (and where a network marks its
            tensors itself), or "float": what is added, and with it the residual stream, stays in floating point, as in most
            papers on few bits, and is quantized only in front of each layer.
    """

    quantizer: str = "lsq"
    granularity: str = "channel"
    observer: str = "mse"
    weight_observer: str = "mse"
    additions: str = "int8"


@dataclass(frozen=True)
class Rule:
    """Layers at `place` get `weights` and `activations` bits, because of `why`; "image" is what a first layer reads."""

    place: Place
    weights: int
    activations: int
    why: str

    @property
    def unsigned(self) -> bool:
        """Whether activations that are never negative use an unsigned grid."""
        return self.activations < 8


def _scheme(weights: int, activations: int) -> tuple[Rule, ...]:
    rules = (
        Rule("every", FLOAT, FLOAT, "deny all: what no rule enables stays FP32"),
        Rule("every", weights, activations, "the scheme"),
    )
    if activations == 8 and weights >= 7:
        return rules
    return (
        *rules,
        Rule("first", 8, 8, "first layer: sees the pixels"),
        Rule("image", 8, 8, "the image itself has 8 bits"),
        Rule("last", 8, 8, "last layer: makes the pixels"),
    )


SCHEMES = {f"W{w}A{a}": _scheme(w, a) for w, a in ((8, 8), (7, 8), (6, 6), (4, 8), (4, 4))}


def decide(place: Place, scheme: str) -> Rule:
    """The rule that holds at a place.

    >>> decide("last", "W4A4").weights, decide("every", "W4A4").weights
    (8, 4)
    """
    check_choice("quantization scheme", scheme, SCHEMES)
    return [rule for rule in SCHEMES[scheme] if rule.place in ("every", place)][-1]


def describe(scheme: str) -> list[str]:
    """One line per rule, in order."""
    return [f"{r.place}: weights {r.weights} bit, activations {r.activations} bit ({r.why})" for r in SCHEMES[scheme]]
