"""Named measurement protocols: a PSNR without one means little.

By published conventions alone the same pair of images scores anywhere within five decibels: colour space, luma range,
border and rounding differ between papers. Every row and caption of qdr names its protocol, and every protocol measures
8-bit images, one by one; means are taken over images afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdr.errors import QdrError, check_choice


@dataclass(frozen=True)
class Protocol:
    """How a pair of images is compared: `colour` is "rgb", "y-full" or "y-limited"; `border` pixels are left out."""

    name: str
    colour: str
    border: int
    description: str


PROTOCOLS = {
    "rgb-full": Protocol("rgb-full", "rgb", 0, "RGB, 8 bit, whole image; PSNR over all channels, SSIM channel mean"),
    "y-full": Protocol("y-full", "y-full", 0, "BT.601 luma, full range 0 to 255, whole image"),
    "y-limited": Protocol(
        "y-limited", "y-limited", 0, "BT.601 luma, limited range 16 to 235, as in most deraining papers; +1.32 dB in grey"
    ),
}
_LUMA = np.array([0.299, 0.587, 0.114])


def protocol(name: str) -> Protocol:
    """A protocol by name."""
    return PROTOCOLS[check_choice("protocol", name, PROTOCOLS)]


def compared(image: NDArray[np.uint8], rule: Protocol) -> NDArray[np.float64]:
    """What a protocol looks at: [h, w, channels] in grey levels.

    >>> compared(np.full((2, 2, 3), 255, np.uint8), PROTOCOLS["y-limited"])[0, 0, 0].round(6)
    np.float64(235.0)
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise QdrError(f"metrics compare uint8 RGB images [h, w, 3], got {image.dtype} {image.shape}")
    cut = image[rule.border : image.shape[0] - rule.border, rule.border : image.shape[1] - rule.border]
    levels = cut.astype(np.float64)
    if rule.colour == "rgb":
        return levels
    luma: NDArray[np.float64] = (levels @ _LUMA)[..., None]
    return luma if rule.colour == "y-full" else 16 + luma * (219 / 255)
