"""What LMR did while QDR trained: its weights, and the two gradients it weighs, at the bottleneck."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from qdr.report.load import TRAINING, load
from qdr.report.quality import TASK_LABELS

BLUE, RED, GREEN = "#0072B2", "#D55E00", "#009E73"


def lmr_weights(path: Path) -> Figure:
    """Rows: weights, gradient magnitudes, cosine; a column per task, W8A8, first seed."""
    frame = load(path, TRAINING)
    runs = frame[(frame["method"] == "qdr") & (frame["bits"] == "W8A8") & (frame["images"] == "all") & (frame["seed"] == 0)]
    tasks = [task for task in TASK_LABELS if task in set(runs["task"])]
    figure, axes = plt.subplots(3, len(tasks), figsize=(2.6 * len(tasks), 5.2), squeeze=False, sharex=True, sharey="row")
    for column, task in enumerate(tasks):
        top, middle, bottom = axes[:, column]
        rows = runs[runs["task"] == task]
        top.plot(*_curve(rows, "weight_rec"), color=BLUE, label="reconstruction")
        top.plot(*_curve(rows, "weight_distill"), color=RED, label="distillation")
        top.set_ylim(-0.03, 1.03)
        middle.plot(*_curve(rows, "grad_rec"), color=BLUE)
        middle.plot(*_curve(rows, "grad_distill"), color=RED)
        middle.set_yscale("log")
        bottom.plot(*_curve(rows, "grad_cosine"), color=GREEN)
        bottom.axhline(0, color="#444444", linewidth=0.8)
        bottom.set_ylim(-1.05, 1.05)
        bottom.set_xlabel("step")
        top.set_title(TASK_LABELS[task])
    for axis, label in zip(
        axes[:, 0], ("LMR weight", "gradient at bottleneck\n(mean magnitude)", "cosine of the two\ngradients"), strict=True
    ):
        axis.set_ylabel(label)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, fontsize=8)
    figure.align_ylabels()
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    return figure


def _curve(rows: pd.DataFrame, metric: str) -> tuple[list[int], list[float]]:
    chosen = rows[rows["metric"] == metric].sort_values("step")
    return chosen["step"].tolist(), chosen["value"].tolist()
