"""Where quantization errors grow: relative to the FP32 features, level by level, per method."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from qdr.suite.methods import catalogue
from qdr.suite.report.load import FEATURES, load
from qdr.suite.report.quality import TASK_LABELS, label, seeds, span
from qdr.suite.report.style import colour

MOST = 9  # lines a panel can bear


def error_growth(path: Path, bits: str) -> Figure:
    """A panel per task: encoder, bottleneck, decoder, output; a line per method of the EFM on all tasks, seeds averaged."""
    frame = load(path, FEATURES)
    frame = frame[(frame["bits"] == bits) & (frame["images"] == "all")]
    tasks = [task for task in TASK_LABELS if task in set(frame["task"])]
    figure, axes = plt.subplots(1, len(tasks), figsize=(2.8 * len(tasks), 3.2), squeeze=False)
    shared = set.intersection(*(set(frame[frame["task"] == task]["method"]) for task in tasks))
    methods = [name for name, recipe in catalogue().items() if name in shared and recipe.model.startswith("efm")]
    for axis, task in zip(axes[0], tasks, strict=True):
        rows = frame[frame["task"] == task]
        for method in methods[:MOST]:
            mean = rows[rows["method"] == method].groupby("place")["value"].mean()
            width = 2.0 if method == "qdr" else 1.0
            axis.plot(mean, "o-", markersize=3, color=colour(method), linewidth=width, label=label(method))
        levels = rows.drop_duplicates("place").sort_values("place")
        axis.set_xticks(levels["place"], levels["level"], rotation=45, ha="right", fontsize=7)
        axis.set_yscale("log")
        axis.set_title(TASK_LABELS[task])
    axes[0][0].set_ylabel("|quantized - FP32| / |FP32|")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=5, fontsize=8)
    images = span(frame.groupby(["task", "split"])["image"].nunique())
    title = f"Relative error of the features of {bits} models (fake quantization), {images} images per task, {seeds(frame)}"
    figure.suptitle(title, fontsize=9)
    figure.tight_layout(rect=(0, 0.06 + 0.05 * ((len(names) - 1) // 5), 1, 1))
    return figure
