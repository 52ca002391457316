"""What training and its quantization did: the two gradients at the bottleneck, and where errors grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from qdr.suite.methods import catalogue
from qdr.suite.report.figures.error_growth import MOST
from qdr.suite.report.figures.training import WINDOW, by_step, pull_ratio, smooth
from qdr.suite.report.load import FEATURES, TRAINING, load
from qdr.suite.report.quality import TASK_LABELS, label
from qdr.suite.report.site.charts.look import axis, logarithmic, plain, rounded, say, shade
from qdr.suite.report.site.parts import Chart, Given, Panel

Lines = dict[str, "pd.Series[float]"]


def tug_of_war(bits: str) -> Callable[[Given], Chart | None]:
    """Per task the cosine of the two gradients, and how hard distillation pulls."""

    def draw(given: Given) -> Chart | None:
        frame = load(given.folder / "training.csv", TRAINING)
        runs = frame[(frame["bits"] == bits) & (frame["images"] == "all") & (frame["seed"] == 0)]
        measured = runs[runs["metric"] == "grad_cosine"]
        methods = [name for name in catalogue() if name in set(measured["method"])]
        panels = []
        for task in (task for task in TASK_LABELS if task in set(measured["task"])):
            rows = runs[runs["task"] == task]
            logged = {method: by_step(rows[rows["method"] == method]) for method in methods}
            logged = {method: table for method, table in logged.items() if "grad_cosine" in table}
            cosine = {method: smooth(table["grad_cosine"]) for method, table in logged.items()}
            pull = {method: smooth(pull_ratio(table)) for method, table in logged.items()}
            name, y = TASK_LABELS[task], axis("cosine of the two gradients", range=[-0.55, 0.55])
            panels.append(_panel(f"{name}: direction", cosine, axis("step"), y | {"zeroline": True}))
            panels.append(_panel(f"{name}: strength", pull, axis("step"), _log("distillation / reconstruction", pull)))
        caption = (
            f"Gradients at the bottleneck while {bits} trains, mean of {WINDOW} measurements. Direction: cosine between "
            "distillation's and reconstruction's, negative where they oppose each other. Strength: their weighted ratio."
        )
        return Chart(caption, panels, _legend(methods)) if panels else None

    return draw


def error_growth(bits: str) -> Callable[[Given], Chart | None]:
    """Per task the relative error of the features, level by level."""

    def draw(given: Given) -> Chart | None:
        frame = load(given.folder / "features.csv", FEATURES)
        frame = frame[(frame["bits"] == bits) & (frame["images"] == "all")]
        tasks = [task for task in TASK_LABELS if task in set(frame["task"])]
        if not tasks:
            return None
        shared = set.intersection(*(set(frame[frame["task"] == task]["method"]) for task in tasks))
        methods = [name for name, found in catalogue().items() if name in shared and found.model.startswith("efm")][:MOST]
        panels = []
        for task in tasks:
            rows = frame[frame["task"] == task]
            levels = rows.drop_duplicates("place").sort_values("place")["level"].tolist()
            means = {method: rows[rows["method"] == method].groupby("place")["value"].mean() for method in methods}
            lines = {method: mean.set_axis([levels[int(place)] for place in mean.index]) for method, mean in means.items()}
            y = _log("|quantized - FP32| / |FP32|", lines)
            panels.append(_panel(TASK_LABELS[task], lines, axis("", type="category", tickangle=-40), y))
        caption = (
            f"Relative error of the features of {bits} models under fake quantization, from the first level to the output."
        )
        return Chart(caption, panels, _legend(methods))

    return draw


def _panel(title: str, lines: Lines, x: dict[str, Any], y: dict[str, Any]) -> Panel:
    traces = [
        go.Scatter(
            x=[place if isinstance(place, int) else say(place) for place in series.index],
            y=rounded(series.tolist()),
            name=say(label(method)),
            mode="lines" if len(series) > 12 else "lines+markers",
            line={"color": shade(method), "width": 3 if method == "qdr" else 1.6},
        )
        for method, series in lines.items()
    ]
    ends = "; ".join(f"{label(method)} ends at {float(series.iloc[-1]):.3g}" for method, series in lines.items())
    return Panel(title, f"{title}: {ends}", plain(traces, xaxis=x, yaxis=y, hovermode="x"))


def _log(title: str, lines: Lines) -> dict[str, Any]:
    return logarithmic(title, (float(value) for series in lines.values() for value in series))


def _legend(methods: list[str]) -> list[tuple[str, str]]:
    return [(label(method), shade(method)) for method in methods]
