"""Which tensor gets how many bits, and why: an ordered list of rules, the last match wins.

The first rule enables everything at the scheme's width; later rules raise exceptions by module name. In the 4-bit
schemes the first and the last convolution and the image keep 8 bits, as is customary (e.g. Esser et al. 2020,
section 3): they see the pixels themselves. `describe` prints the decision into every result.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from qdr.errors import QdrError


@dataclass(frozen=True)
class Rule:
    """Modules whose name matches `pattern` (shell-style) get `weights` and `activations` bits, because of `why`."""

    pattern: str
    weights: int
    activations: int
    why: str


SCHEMES: dict[str, tuple[Rule, ...]] = {
    "W8A8": (Rule("*", 8, 8, "the scheme"),),
    "W4A4": (
        Rule("*", 4, 4, "the scheme"),
        Rule("stem", 8, 8, "first layer: sees the pixels"),
        Rule("point_in", 8, 8, "the image itself has 8 bits"),
        Rule("head", 8, 8, "last layer: makes the pixels"),
    ),
}


def decide(name: str, scheme: str) -> Rule:
    """The rule that holds for a module name.

    >>> decide("head", "W4A4").weights, decide("bottleneck.0.conv1", "W4A4").weights
    (8, 4)
    """
    if scheme not in SCHEMES:
        raise QdrError(f"no quantization scheme {scheme!r}: valid: {', '.join(SCHEMES)}")
    return [rule for rule in SCHEMES[scheme] if fnmatchcase(name, rule.pattern)][-1]


def describe(scheme: str) -> list[str]:
    """One line per rule, in order."""
    return [f"{r.pattern}: weights {r.weights} bit, activations {r.activations} bit ({r.why})" for r in SCHEMES[scheme]]
