"""How much of FP32's gain each method keeps, per task, with paired intervals."""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from qdr.suite.evaluate.stats import Bootstrap
from qdr.suite.report.quality import FP32, INPUT, Quality, Setting, label, seeds, set_label, span
from qdr.suite.report.style import colour

METHODS = (
    Setting("fp32-tuned", "FP32"),
    Setting("ptq", "W8A8"),
    Setting("qat", "W8A8"),
    Setting("qat-kd-decoder", "W8A8"),
    Setting("qdr", "W8A8"),
)


def recovery(quality: Quality, stats: Bootstrap) -> Figure:
    """A panel per task; the vertical line is FP32."""
    sets = quality.sets(quality.kinds()[0])
    figure, axes = plt.subplots(1, len(sets), figsize=(2.6 * len(sets), 2.8), squeeze=False, sharey=True)
    counts = []
    for axis, (task, split) in zip(axes[0], sets, strict=True):
        fp32, degraded = (quality.values(task, split, "psnr", s) for s in (FP32, INPUT))
        for place, setting in enumerate(METHODS):
            values = quality.values(task, split, "psnr", setting)
            if not len(values):
                continue
            found = stats.gain_recovery(values, fp32, degraded)
            reach = np.array([[found.estimate - found.low], [found.high - found.estimate]])
            axis.errorbar(found.estimate, place, xerr=reach, fmt="o", color=colour(setting.method), capsize=3, markersize=6)
        counts.append(len(fp32))
        axis.axvline(1, color=colour("fp32"), linewidth=1)
        axis.set_title(f"{set_label(task, split)}\n(FP32: {float((fp32 - degraded).mean()):+.1f} dB)")
        axis.set_xlabel("gain recovery (FP32 = 1)")
        axis.locator_params(axis="x", nbins=4)
        axis.margins(x=0.15)
    labels = [label(s.method) + (", INT8" if s.bits == "W8A8" else "") for s in METHODS]
    axes[0][0].set_yticks(range(len(METHODS)), labels)
    axes[0][0].set_ylim(len(METHODS) - 0.5, -0.5)
    what = f"{span(counts)} real images each, {seeds(quality.frame)}, {100 * stats.confidence:.0f} % paired intervals"
    figure.suptitle(f"Gain recovery, {what}; each panel has its own scale", y=0.99, fontsize=9)
    figure.tight_layout()
    return figure
