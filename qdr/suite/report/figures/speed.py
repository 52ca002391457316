"""Quality against latency: what each precision costs and keeps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qdr.suite.methods import recipe
from qdr.suite.report.load import LATENCY, int8_of, load
from qdr.suite.report.quality import INPUT, Quality, Setting, label, seeds, set_label, span
from qdr.suite.report.style import colour


def quality_latency(quality: Quality, latency: Path) -> Figure:
    """PSNR gain over the input against OpenVINO's median latency, a panel per task.

    Every method of one precision runs the same graph, so they share the latency measured for it.
    """
    frame = load(latency, LATENCY)
    frame = frame[frame["height"] == frame["height"].iloc[0]]
    rows = frame[(frame["model"] == "efm") & (frame["engine"] == "openvino")]
    milliseconds = dict(zip(rows["precision"].tolist(), rows["median_ms"].tolist(), strict=True))
    shown = timed_as(rows)
    sets = quality.sets(quality.kinds()[0])
    figure, axes = plt.subplots(1, len(sets), figsize=(2.7 * len(sets), 2.7), squeeze=False)
    for axis, (task, split) in zip(axes[0], sets, strict=True):
        degraded = quality.values(task, split, "psnr", INPUT).mean()
        for setting in quality.settings(task, tuple(shown)):
            if setting.method == "input" or recipe(setting.method).model != "efm":
                continue
            gain = float(quality.values(task, split, "psnr", setting).mean() - degraded)
            _point(axis, milliseconds[shown[setting.bits]], gain, setting)
        axis.set_title(set_label(task, split))
        axis.set_xlabel("median latency (ms)")
        axis.set_xlim(0, 1.15 * max(milliseconds.values()))
        axis.margins(y=0.25)
    axes[0][0].set_ylabel("PSNR gain over the input (dB)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, ncol=len(labels), loc="lower center", bbox_to_anchor=(0.5, -0.07), fontsize=8)
    first, ratio = frame.iloc[0], milliseconds["fp32"] / milliseconds[int8_of(rows)]
    where = f"OpenVINO, {first['threads']} threads, {first['height']}x{first['width']}"
    images = span(len(quality.values(*of_set, "psnr", INPUT)) for of_set in sets)
    title = f"{where}: INT8 is {ratio:.1f} times as fast as FP32; {images} images per set, {seeds(quality.frame)}"
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    return figure


def timed_as(frame: pd.DataFrame) -> dict[str, str]:
    """The precision that models of given bits were timed in: FP32, and W8A8 or, where that is wrong, W7A8."""
    precision = int8_of(frame)
    return {"FP32": "fp32", "W8A8" if precision == "int8" else "W7A8": precision}


def _point(axis: Axes, milliseconds: float, gain: float, setting: Setting) -> None:
    marker = "s" if setting.bits == "FP32" else "o"
    name = label(setting.method) + ("" if setting.bits == "FP32" else " INT8")
    axis.plot(milliseconds, gain, marker, color=colour(setting.method), markersize=6, alpha=0.9, label=name)
