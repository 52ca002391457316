"""PSNR against the number of training images: what a quantized model owes to data and what to its teacher."""

from __future__ import annotations

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from qdr.report.quality import FP32, TASK_LABELS, Quality, count, label
from qdr.report.style import colour


def few_images(quality: Quality, bits: str) -> Figure | None:
    """A panel per task, a line per method; None where fewer than two numbers of images were measured."""
    split = quality.splits()[0]
    settings = {task: quality.settings(task, (bits,)) for task in quality.tasks}
    tasks = [task for task, found in settings.items() if len({s.images for s in found}) > 1]
    if not tasks:
        return None
    figure, axes = plt.subplots(1, len(tasks), figsize=(2.8 * len(tasks), 3.2), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        numbers = sorted({s.images for s in settings[task]}, key=count)
        for method in dict.fromkeys(s.method for s in settings[task]):
            points = sorted((s for s in settings[task] if s.method == method), key=lambda s: count(s.images))
            if len(points) < 2:
                continue
            values = [float(quality.values(task, split, "psnr", s).mean()) for s in points]
            width = 2.0 if method.startswith("qdr") else 1.0
            where = [numbers.index(s.images) for s in points]
            axis.plot(where, values, "o-", markersize=4, linewidth=width, color=colour(method), label=label(method))
        axis.axhline(
            float(quality.values(task, split, "psnr", FP32).mean()), color=colour("fp32"), linewidth=1, linestyle="--"
        )
        axis.set_xticks(range(len(numbers)), numbers)
        axis.set_xlabel("training images")
        axis.set_title(TASK_LABELS[task])
    axes[0][0].set_ylabel(f"PSNR of {bits} (dB)")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=5, fontsize=8)
    figure.suptitle(f"{split}: quantized training on few images; dashed: FP32, trained on all", fontsize=9)
    figure.tight_layout(rect=(0, 0.06 + 0.05 * ((len(names) - 1) // 5), 1, 1))
    return figure
