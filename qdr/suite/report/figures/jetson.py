"""Predicted frames per second on Jetson Orin against the size of the image."""

from __future__ import annotations

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from qdr.suite.bench.roofline import LABEL, MODES, NX8, SIZES, TARGET_FPS, Layer, fps
from qdr.suite.report.style import OKABE_ITO


def jetson_prediction(layers: dict[str, list[Layer]]) -> Figure:
    """FPS with its band from low to high efficiency, every module in its fastest mode, a panel per model."""
    fastest = {mode.device: mode for mode in reversed(MODES)}
    figure, axes = plt.subplots(1, len(layers), figsize=(3.6 * len(layers), 3.4), sharey=True, squeeze=False)
    sizes = sorted(SIZES, key=lambda size: size[0] * size[1])
    pixels = [height * width for height, width in sizes]
    for axis, (model, listed) in zip(axes[0], layers.items(), strict=True):
        for mode, colour in zip(reversed(fastest.values()), OKABE_ITO, strict=True):
            low, mid, high = zip(*(fps(listed, mode, count) for count in pixels), strict=True)
            axis.fill_between(pixels, low, high, color=colour, alpha=0.10, linewidth=0)
            line = "o--" if mode.device == NX8 else "o-"  # as fast as the 16GB module, and over it
            axis.plot(pixels, mid, line, color=colour, markersize=3, linewidth=1.2, label=f"{mode.device}, {mode.name}")
        axis.axhline(TARGET_FPS, color="black", linestyle="--", linewidth=0.9)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(pixels, [f"{width}x{height}" for height, width in sizes], rotation=35, ha="right", fontsize=7)
        axis.minorticks_off()
        axis.set_title(f"EFM {model}")
        axis.set_xlabel("image size")
    axes[0][0].set_ylabel("frames per second (INT8, GPU)")
    ticks = [50, 100, 200, TARGET_FPS, 1000, 2000, 5000]
    axes[0][0].set_yticks(ticks, [f"{tick:.0f}" for tick in ticks])
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, ncol=3, loc="lower center", bbox_to_anchor=(0.5, -0.13), fontsize=8)
    figure.suptitle(f"{LABEL}: INT8 EFM on Jetson Orin, mid efficiency with its band (low to high)", fontsize=9)
    figure.tight_layout()
    return figure
