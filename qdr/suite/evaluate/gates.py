"""How far an engine may be from what training simulated."""

from __future__ import annotations

from qdr.suite.methods import recipe

GATE_PSNR_DB = 0.01
GATE_MEAN_LEVEL = 1.5


def level_gate(method: str) -> float:
    """The grey levels that an image of a method may differ by on average; no limit for peers."""
    return GATE_MEAN_LEVEL if recipe(method).model.startswith("efm") else float("inf")
