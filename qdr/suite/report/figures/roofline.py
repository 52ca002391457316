"""How far each layer is from the machine's limit: the roofline of Williams et al. (2009), measured.

A layer that does i operations per byte cannot run faster than min(peak, i x bandwidth). The slope is drawn for copies in
memory and within the cache, since a layer's input may still be in the cache when the layer runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qdr.suite.report.load import ROOFLINE, load, read_machine

KINDS = {"int8": ("INT8", "#D55E00", "o"), "fp32": ("FP32", "#000000", "s")}


def roofline(path: Path) -> Figure:
    """Rate against operations per byte, a panel per side, a point per convolution, its area its share of the time."""
    frame, machine = load(path, ROOFLINE), read_machine(path.with_name("machine.json"))
    sides = sorted(set(frame["height"].tolist()))
    figure, axes = plt.subplots(1, len(sides), figsize=(4.6 * len(sides), 3.9), sharex=True, sharey=True, squeeze=False)
    for axis, side in zip(axes[0], sides, strict=True):
        part = frame[(frame["height"] == side) & (frame["macs"] > 0)]
        for precision, (name, colour, marker) in KINDS.items():
            layers = part[part["precision"] == precision]
            _roof(axis, machine["peaks"], str(machine["threads"]), precision, colour)
            _points(axis, layers, f"{name} convolution", colour, marker)
        axis.set(xscale="log", yscale="log", xlabel="operations per byte moved", title=f"{side}x{side}")
        axis.margins(0.08)
    axes[0][0].set_ylabel("GOPS")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, ncol=4, loc="lower center", bbox_to_anchor=(0.5, -0.09), fontsize=8, markerscale=0.7)
    figure.suptitle(
        f"OpenVINO, {machine['threads']} threads, {machine['cpu']}: area is share of the model's time", fontsize=9
    )
    figure.tight_layout()
    return figure


def _roof(axis: Axes, peaks: dict[str, dict[str, float]], threads: str, precision: str, colour: str) -> None:
    peak = peaks[f"{precision}_gops"][threads]
    x = np.geomspace(0.3, 1000, 200)
    name = KINDS[precision][0]
    for kind, style in (("cache", "-"), ("memory", ":")):
        limit = np.minimum(peak, x * peaks[f"{kind}_gbs"][threads])
        axis.plot(x, limit, style, color=colour, linewidth=1, alpha=0.8, label=f"{name} limit, {kind}")
    axis.annotate(f"{name} peak {peak:.0f}", (1000, peak), (0, 3), textcoords="offset points", ha="right", fontsize=7)


def _points(axis: Axes, layers: pd.DataFrame, name: str, colour: str, marker: str) -> None:
    area = 400 * layers["microseconds"] / layers["microseconds"].sum()
    style: dict[str, Any] = {"color": colour, "marker": marker, "alpha": 0.55, "edgecolors": "white", "linewidths": 0.5}
    axis.scatter(2 * layers["macs"] / layers["bytes"], layers["gops"], s=np.maximum(area, 8), label=name, **style)
    slow = (layers["share"] < 0.5) & (layers["microseconds"] > 0.01 * layers["microseconds"].sum())
    for row in layers[slow].to_dict("records"):  # the ones to look at
        at = (2 * row["macs"] / row["bytes"], row["gops"])
        axis.annotate(str(row["layer"]), at, (4, -3), textcoords="offset points", fontsize=6, color=colour)
