"""How several losses become one step: a balancer per file, listed here; a file defines `Balance`, a `Balancer`."""

from __future__ import annotations

from qdr.distill.balancers import dwa, fixed, gor, gradnorm, lmr, pcgrad, uncertainty
from qdr.distill.balancers.base import Balancer, Log
from qdr.errors import check_choice

__all__ = ["BALANCERS", "Balancer", "Log", "balancer"]

BALANCERS: dict[str, type[Balancer]] = {
    "dwa": dwa.Balance,
    "fixed": fixed.Balance,
    "gor": gor.Balance,
    "gradnorm": gradnorm.Balance,
    "lmr": lmr.Balance,
    "pcgrad": pcgrad.Balance,
    "uncertainty": uncertainty.Balance,
}


def balancer(name: str, terms: int, weight: float, every: int) -> Balancer:
    """The balancer of a name for `terms` losses; see `Balancer` for the rest.

    Raises:
        QdrError: on an unknown name.
    """
    return BALANCERS[check_choice("balancer", name, BALANCERS)](terms, weight, every)
