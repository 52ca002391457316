"""Does LDG open where the degradation is? Its gate maps beside the true degradation map, with their correlation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from qdr.images.pairs import read_grey, read_image
from qdr.suite.report.quality import TASK_LABELS


def ldg_gates(gates: Path) -> Figure:
    """A row per task: input, truth, one gate map per place, each stretched to its own range."""
    tasks = [task for task in TASK_LABELS if (gates / task / "truth.png").is_file()]
    levels = len(list((gates / tasks[0]).glob("gate*.png")))
    size = (2.3 * (2 + levels), 1.75 * len(tasks))
    figure, axes = plt.subplots(len(tasks), 2 + levels, figsize=size, squeeze=False, layout="constrained")
    for row, task in zip(axes, tasks, strict=True):
        truth = grey(gates / task / "truth.png")
        row[0].imshow(read_image(gates / task / "input.png"))
        row[0].set_ylabel(TASK_LABELS[task])
        _show(row[1], truth, "true degradation")
        for level in range(levels):
            gate = grey(gates / task / f"gate{level}.png")
            height, width = gate.shape
            small = np.asarray(Image.fromarray(truth).resize((width, height), Image.Resampling.BOX))
            _show(row[2 + level], gate, f"gate at 1/{4 << level}: r = {correlation(gate, small):+.2f}")
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
    return figure


def _show(axis: Axes, image: NDArray[np.float32], title: str) -> None:
    low, high = np.quantile(image, [0.01, 0.99])
    axis.imshow(image, cmap="viridis", vmin=low, vmax=max(high, low + 1e-3))
    axis.set_title(f"{title}\n[{low / 255:.2f}, {high / 255:.2f}]", fontsize=8)


def grey(path: Path) -> NDArray[np.float32]:
    """A map as it was saved, [height, width] in [0, 255]."""
    return np.asarray(read_grey(path), np.float32)


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Pearson's r over pixels; nan where a map is constant."""
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
