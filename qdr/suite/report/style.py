"""One look for all figures: a colour per method (Okabe and Ito's colour-blind safe set), one font, exact bytes.

PNG and PDF carry no date, so the same CSV gives the same files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from qdr.files import replacing
from qdr.suite.methods import catalogue

COLOURS = {
    "input": "#999999",
    "fp32": "#000000",
    "fp32-tuned": "#666666",
    "ptq": "#E69F00",
    "qat": "#56B4E9",
    "qat-kd-decoder": "#CC79A7",
    "qdr": "#D55E00",
    "qdr-no-dfd": "#F0E442",
    "qdr-no-lmr": "#009E73",
    "qdr-no-ldg": "#0072B2",
    "fp32-no-ldg": "#444444",
    "qdr-output": "#8C564B",
    "qdr-free": "#117733",
    "qat-kd-output": "#9467BD",
    "qat-kd-all": "#E69F9F",
}
OTHERS = ("#17BECF", "#A6761D", "#BCBD22", "#1F77B4", "#E377C2", "#2CA02C", "#7F7F7F")
OKABE_ITO = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7")
DPI = 120


def colour(method: str) -> str:
    """The colour of a method; those without one of their own take turns in a second palette."""
    others = [name for name in catalogue() if name not in COLOURS]
    name = method.partition("@")[0]
    return COLOURS.get(name) or OTHERS[others.index(name) % len(OTHERS)]


def use_style() -> None:
    """Set the look; call before a figure is made."""
    sns.set_theme(context="paper", style="whitegrid", font="DejaVu Sans", font_scale=1.0)
    exact: dict[Any, Any] = {"pdf.fonttype": 42, "image.interpolation": "none"}
    plt.rcParams.update({"figure.dpi": DPI, "savefig.dpi": DPI, "axes.titlesize": 10} | exact)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write <name>.png and <name>.pdf and close the figure."""
    with replacing(folder / f"{name}.png") as temporary:
        figure.savefig(temporary, metadata={"Software": None}, bbox_inches="tight")
    with replacing(folder / f"{name}.pdf") as temporary:
        figure.savefig(temporary, metadata={"CreationDate": None}, bbox_inches="tight")
    plt.close(figure)
