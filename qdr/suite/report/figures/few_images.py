"""PSNR against the number of training images: what a quantized model owes to data and what to its teacher."""

from __future__ import annotations

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qdr.suite.config import SCENES
from qdr.suite.report.quality import FP32, REAL, TASK_LABELS, Quality, Setting, count, label, seeds, span
from qdr.suite.report.style import colour

KINDS = {REAL: "real images", SCENES: "held-out scenes"}


def few_images(quality: Quality, bits: str) -> Figure | None:
    """A column per task, a row per kind of test set, a line per method; None where one number of images was measured."""
    settings = few_settings(quality, bits)
    tasks, kinds = list(settings), quality.kinds()
    if not tasks:
        return None
    size = (2.8 * len(tasks) + 0.6, 2.5 * len(kinds) + 0.9)
    figure, axes = plt.subplots(len(kinds), len(tasks), figsize=size, squeeze=False, sharex="col")
    for row, kind in zip(axes, kinds, strict=True):
        for axis, task in zip(row, tasks, strict=True):
            _panel(
                axis,
                quality,
                task,
                quality.real(task)[0] if kind == REAL else SCENES,
                settings[task],
            )
        row[0].set_ylabel(f"{KINDS[kind]}\nPSNR of {bits} (dB)")
    for axis, task in zip(axes[0], tasks, strict=True):
        axis.set_title(TASK_LABELS[task])
    for axis in axes[-1]:
        axis.set_xlabel("training images")
    drawn = {str(line.get_label()): line for axis in axes.flat for line in axis.get_lines()}
    names = [name for name in drawn if not name.startswith("_")]
    figure.legend([drawn[name] for name in names], names, loc="lower center", ncols=4, fontsize=8)
    shown = quality.frame[quality.frame["bits"] == bits]
    images = span(shown.groupby(["task", "split"])["image"].nunique())
    title = f"Quantized training on few images; dashed: FP32, trained on all; {images} test images per set, {seeds(shown)}"
    figure.suptitle(title, fontsize=9)
    figure.tight_layout(rect=(0, 0.04 + 0.03 * ((len(names) + 3) // 4), 1, 1))
    return figure


def few_settings(quality: Quality, bits: str) -> dict[str, list[Setting]]:
    """Per task with several numbers of training images the settings of methods that were trained on few on each of them."""
    settings = {task: quality.settings(task, (bits,)) for task in quality.tasks}
    settings = {task: found for task, found in settings.items() if len({s.images for s in found}) > 1}
    few = [{s.method for s in found if s.images != "all"} for found in settings.values()]
    return {task: [s for s in found if s.method in set.intersection(*few)] for task, found in settings.items()}


def _panel(axis: Axes, quality: Quality, task: str, split: str, settings: list[Setting]) -> None:
    numbers = sorted({s.images for s in settings}, key=count)
    for method in dict.fromkeys(s.method for s in settings):
        points = sorted((s for s in settings if s.method == method), key=lambda s: count(s.images))
        values = [float(quality.values(task, split, "psnr", s).mean()) for s in points]
        where = [numbers.index(s.images) for s in points]
        width = 2.0 if method.startswith("qdr") else 1.0
        axis.plot(where, values, "o-", markersize=4, linewidth=width, color=colour(method), label=label(method))
    axis.axhline(float(quality.values(task, split, "psnr", FP32).mean()), color=colour("fp32"), linewidth=1, linestyle="--")
    axis.set_xticks(range(len(numbers)), numbers)
    axis.margins(x=0.1)
