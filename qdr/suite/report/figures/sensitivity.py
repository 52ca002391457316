"""PSNR lost when one layer alone is quantized, in the order of the network."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from qdr.suite.report.load import SENSITIVITY, load
from qdr.suite.report.quality import TASK_LABELS

COLOUR = {"weights": "#0072B2", "activations": "#D55E00"}


def sensitivity(path: Path) -> Figure:
    """A panel per scheme; weights and activations in two colours; the smaller SQNR, the larger the loss."""
    frame = load(path, SENSITIVITY)
    schemes = list(dict.fromkeys(frame["bits"]))
    layers = list(dict.fromkeys(frame["layer"]))
    figure, axes = plt.subplots(
        len(schemes), 1, figsize=(max(4.5, 0.21 * len(layers) + 1.2), 2.1 * len(schemes) + 1.2), squeeze=False, sharex=True
    )
    for axis, scheme in zip(axes[:, 0], schemes, strict=True):
        for kind, colour in COLOUR.items():
            rows = frame[(frame["bits"] == scheme) & (frame["kind"] == kind)]
            axis.bar([layers.index(name) for name in rows["layer"]], rows["psnr_drop_db"], color=colour, label=kind)
        axis.set_title(f"{TASK_LABELS[str(frame['task'].iloc[0])]}, {scheme}")
        axis.set_ylabel("PSNR lost (dB)")
        axis.margins(x=0.01)
    axes[-1][0].set_xticks(range(len(layers)), layers, rotation=90, fontsize=6)
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    return figure
