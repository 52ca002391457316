"""How several losses become one step: a balancer per file, found by its name.

A file `<name>.py` defines `Balance`, a subclass of `Balancer`. `methods.yaml` names it in `balance:`.
"""

from __future__ import annotations

from qdr import registry
from qdr.distill.balancers._base import Balancer, Log

__all__ = ["Balancer", "Log", "balancer"]


def balancer(name: str, terms: int, weight: float, every: int) -> Balancer:
    """The balancer of a name for `terms` losses; see `Balancer` for the rest."""
    made: Balancer = registry.part(__name__, "balancer", name).Balance(terms, weight, every)
    return made
