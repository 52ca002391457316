"""Named measurement protocols: a PSNR without one means little.

By published conventions alone the same pair of images scores anywhere within five decibels
(paper_tables/embedded/quality/conventions.md measures it). A protocol fixes everything that differs between papers:

- colour: all of RGB, or BT.601 luma Y = 0.299 R + 0.587 G + 0.114 B in the range 0 to 255 ("full") or 16 to 235
  ("limited", 16 + 219/255 Y, MATLAB's rgb2ycbcr). The peak stays 255 in both, so limited range adds 1.32 dB for nothing.
- rounded: luma as a float, or rounded to 8 bits again (halves up), as MATLAB and OpenCV return it for 8-bit images.
- border: pixels left out at every side.
- window: of SSIM, see `qdr.metrics.ssim`; shrunk: SSIM of a picture made smaller first, as its authors advise.

Every row and caption of qdr names its protocol; each names a published evaluation that compares so, read in its code. All
measure 8-bit images, one by one; a set's value is the mean over its images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdr.errors import QdrError, check_choice

Image = NDArray[np.uint8]
Levels = NDArray[np.float64]


@dataclass(frozen=True)
class Protocol:
    """How a pair of images is compared: `colour` is "rgb", "y-full" or "y-limited"; `border` pixels are left out.

    `window` is "gaussian", "uniform" or "gaussian-3d". `used_by` names an evaluation that is published as code.
    """

    name: str
    colour: str
    border: int
    description: str
    used_by: str
    rounded: bool = False
    window: str = "gaussian"
    shrunk: bool = False


_ALL = (
    Protocol("rgb-full", "rgb", 0, "RGB, whole image; PSNR over all channels, SSIM channel mean", "BasicSR (crop_border 0)"),
    Protocol("y-full", "y-full", 0, "BT.601 luma, full range 0 to 255, whole image", "piq (convert_to_greyscale)"),
    Protocol(
        "y-limited", "y-limited", 0, "BT.601 luma, limited range 16 to 235: y-full + 1.32 dB", "BasicSR (test_y_channel)"
    ),
    Protocol(
        "y-limited-8bit",
        "y-limited",
        0,
        "as y-limited, luma rounded to 8 bits: MATLAB",
        "MPRNet, Restormer: rain",
        rounded=True,
    ),
    Protocol(
        "y-limited-crop4",
        "y-limited",
        4,
        "as y-limited without a border, for super-resolution by 4",
        "BasicSR (crop_border 4)",
    ),
    Protocol("rgb-crop10", "rgb", 10, "RGB without a border of scale + 6, for super-resolution by 4", "EDSR on DIV2K: PSNR"),
    Protocol(
        "rgb-uniform7",
        "rgb",
        0,
        "as rgb-full; SSIM with scikit-image's defaults: uniform 7x7 windows",
        "SRFlow",
        window="uniform",
    ),
    Protocol(
        "y-8bit-uniform7",
        "y-full",
        0,
        "as y-full, luma rounded to 8 bits: OpenCV's grey; SSIM as rgb-uniform7",
        "LLFlow: SSIM",
        rounded=True,
        window="uniform",
    ),
    Protocol(
        "rgb-shrunk",
        "rgb",
        0,
        "as rgb-full; SSIM after averaging blocks, so that the shorter side is about 256",
        "DehazeFormer, piq: SSIM",
        shrunk=True,
    ),
    Protocol(
        "rgb-3d",
        "rgb",
        0,
        "as rgb-full; SSIM in windows over rows, columns and channels, edges repeated",
        "NAFNet (ssim3d)",
        window="gaussian-3d",
    ),
)
PROTOCOLS = {rule.name: rule for rule in _ALL}
PROTOCOL = "rgb-full"  # that of every table, unless it says otherwise
_LUMA = np.array([0.299, 0.587, 0.114])


def protocol(name: str) -> Protocol:
    """A protocol by name."""
    return PROTOCOLS[check_choice("protocol", name, PROTOCOLS)]


def compared(image: Image, rule: Protocol) -> Levels:
    """What a protocol looks at: [h, w, channels] in grey levels.

    >>> white = np.full((2, 2, 3), 255, np.uint8)
    >>> compared(white, PROTOCOLS["y-limited"])[0, 0, 0].round(6)
    np.float64(235.0)
    >>> red = white * np.array([1, 0, 0], np.uint8)
    >>> [float(compared(red, PROTOCOLS[name])[0, 0, 0].round(3)) for name in ("y-limited", "y-limited-8bit")]
    [81.481, 81.0]
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise QdrError(f"metrics compare uint8 RGB images [h, w, 3], got {image.dtype} {image.shape}")
    if min(image.shape[:2]) <= 2 * rule.border:
        raise QdrError(
            f"protocol {rule.name} leaves out {rule.border} pixels at every side of {image.shape[:2]}: none is left"
        )
    cut = image[rule.border : image.shape[0] - rule.border, rule.border : image.shape[1] - rule.border]
    levels = cut.astype(np.float64)
    if rule.colour == "rgb":
        return levels
    luma: Levels = (levels @ _LUMA)[..., None]
    luma = luma if rule.colour == "y-full" else 16 + luma * (219 / 255)
    return np.floor(luma.round(9) + 0.5) if rule.rounded else luma  # halves go up, whatever the last bits of the sum say


def both(restored: Image, target: Image, rule: Protocol) -> tuple[Levels, Levels]:
    """What a protocol looks at in each of a pair.

    Raises:
        QdrError: when the images differ in size; nothing is cut or stretched to fit.
    """
    if restored.shape != target.shape:
        raise QdrError(f"images of different size: restored {restored.shape}, target {target.shape}; pair them by name")
    return compared(restored, rule), compared(target, rule)
