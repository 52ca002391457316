"""The tug-of-war, as training logged it: do distillation and reconstruction pull the bottleneck in opposite directions?

Above: cosine between the two gradients at the bottleneck (negative: they oppose each other). Below: how hard distillation
pulls, its weighted gradient over the weighted gradient of the reconstruction.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from qdr.suite.methods import catalogue
from qdr.suite.report.load import TRAINING, load
from qdr.suite.report.quality import TASK_LABELS, label
from qdr.suite.report.style import colour

WINDOW = 5  # logged steps in the moving average


def tug_of_war(path: Path, bits: str) -> Figure:
    """A column per task, a line per method that distils, first seed, all training images."""
    frame = load(path, TRAINING)
    runs = frame[(frame["bits"] == bits) & (frame["images"] == "all") & (frame["seed"] == 0)]
    measured = runs[runs["metric"] == "grad_cosine"]
    tasks = [task for task in TASK_LABELS if task in set(measured["task"])]
    figure, axes = plt.subplots(2, len(tasks), figsize=(2.8 * len(tasks), 4.4), squeeze=False, sharex=True, sharey="row")
    methods = [name for name in catalogue() if name in set(measured["method"])]
    for column, task in enumerate(tasks):
        top, bottom = axes[:, column]
        for method in methods:
            table = by_step(runs[(runs["task"] == task) & (runs["method"] == method)])
            if "grad_cosine" not in table:
                continue
            how = {"color": colour(method), "linewidth": 2.0 if method == "qdr" else 1.0, "label": label(method)}
            top.plot(smooth(table["grad_cosine"]), **how)
            bottom.plot(smooth(pull_ratio(table)), **how)
        top.axhline(0, color="#444444", linewidth=0.8)
        top.set_ylim(-0.55, 0.55)
        bottom.set_yscale("log")
        bottom.set_xlabel("step")
        top.set_title(TASK_LABELS[task])
    axes[0][0].set_ylabel("cosine of the\ntwo gradients")
    axes[1][0].set_ylabel("distillation over\nreconstruction")
    drawn = {line.get_label(): line for axis in axes[0] for line in axis.get_lines()}
    names = [label(method) for method in methods]
    figure.legend([drawn[name] for name in names], names, loc="lower center", ncols=5, fontsize=8)
    figure.suptitle(
        f"Gradients at the bottleneck while {bits} trains (mean of {WINDOW} measurements), first seed", fontsize=9
    )
    figure.align_ylabels()
    figure.tight_layout(rect=(0, 0.05 + 0.04 * ((len(names) - 1) // 5), 1, 1))
    return figure


def by_step(rows: pd.DataFrame) -> pd.DataFrame:
    """What one run logged where it logged the cosine, a column per metric; without that column where it never did."""
    table = rows.pivot_table(index="step", columns="metric", values="value")
    return table[table["grad_cosine"].notna()] if "grad_cosine" in table else table


def pull_ratio(table: pd.DataFrame) -> pd.Series[float]:
    """Weighted gradient of distillation over that of the reconstruction (without labels: of the teacher's output)."""
    terms = [name.removeprefix("grad_") for name in map(str, table) if name.startswith("grad_") and name != "grad_cosine"]
    pulls = {term: table[f"grad_{term}"] * table[f"weight_{term}"] for term in terms}
    anchor = "rec" if "rec" in pulls else "output"
    ratio: pd.Series[float] = sum(pull for term, pull in pulls.items() if term != anchor) / pulls[anchor]
    return ratio.replace(0.0, np.nan)


def smooth(values: pd.Series[float]) -> pd.Series[float]:
    """The moving average that figures show."""
    return values.rolling(WINDOW, min_periods=1, center=True).mean()
