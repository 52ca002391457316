"""A finding of `qdr doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing about a file or a folder of images, in a line that ends in what to do.

    Args:
        kind: "slow" costs time, "wrong" costs pixels, "thin" is a weakness of calibration images.
        code: a short name of it, for scripts.
        text: what was measured and the remedy.
    """

    kind: Literal["slow", "wrong", "thin"]
    code: str
    text: str
