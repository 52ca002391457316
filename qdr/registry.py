"""Parts found by name: a file of a package is a part, its name is the part's name.

Adding a quantizer or a balancer is adding a file; there is no list to keep.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from qdr.errors import check_choice


def names(package: str) -> list[str]:
    """The parts of a package, sorted.

    >>> "lsq" in names("qdr.quant.quantizers")
    True
    """
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted(module.name for module in found if not module.name.startswith("_"))


def part(package: str, kind: str, name: str) -> ModuleType:
    """The module of a part.

    Raises:
        QdrError: naming the nearest valid one.
    """
    check_choice(kind, name, names(package))
    return importlib.import_module(f"{package}.{name}")
