"""One photograph through every method: the images, and where each is wrong.

The second row shows |image - target|, mean over channels, on one scale for all panels of the figure but the input's
(which would hide the others); the scale is the 99.5th percentile of the restored images' errors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from qdr.images.pairs import read_image
from qdr.metrics.protocol import protocol
from qdr.metrics.psnr import psnr
from qdr.suite.report.quality import TASK_LABELS, label

PANELS = ("input", "fp32", "ptq", "qat", "qdr", "target")


def before_after(samples: Path, task: str) -> Figure:
    """Images above, error maps below."""
    found = {name: samples / task / f"{name}.png" for name in PANELS}
    images = {name: read_image(path) for name, path in found.items() if path.is_file()}
    target = images["target"]
    errors = {name: np.abs(image.astype(float) - target).mean(axis=2) for name, image in images.items() if name != "target"}
    scale = float(np.quantile(np.stack([error for name, error in errors.items() if name != "input"]), 0.995))
    height = 2.05 * target.shape[0] / target.shape[1]
    figure, axes = plt.subplots(2, len(images), figsize=(2.05 * len(images) + 0.4, 2 * height + 0.5), layout="constrained")
    shown = None
    for column, (name, image) in enumerate(images.items()):
        top, bottom = axes[0][column], axes[1][column]
        top.imshow(image)
        if name == "target":
            top.set_title("Target\n", fontsize=8.5)
            bottom.axis("off")
        else:
            engine = "" if name in ("input", "fp32") else " (INT8 engine)"
            top.set_title(f"{label(name)}{engine}\n{psnr(image, target, protocol('rgb-full')):.2f} dB", fontsize=8.5)
            shown = bottom.imshow(errors[name], cmap="magma", vmin=0, vmax=scale)
        for axis in (top, bottom):
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
    axes[1][0].set_ylabel("|error|")
    axes[0][0].set_ylabel(f"{TASK_LABELS[task]}\none image, by number; first seed", fontsize=7)
    if shown is not None:
        scale_axis = axes[1][-1].inset_axes((0.0, 0.0, 0.08, 1.0))
        figure.colorbar(shown, cax=scale_axis, label="grey levels", extend="max")
    return figure
