"""PSNR against the number of training images."""

from __future__ import annotations

import plotly.graph_objects as go

from qdr.suite.config import SCENES
from qdr.suite.report.figures.few_images import KINDS, few_settings
from qdr.suite.report.quality import FP32, REAL, TASK_LABELS, Setting, count, label
from qdr.suite.report.site.charts.look import FLOAT, axis, plain, rounded, say, shade
from qdr.suite.report.site.parts import Chart, Given, Panel

BITS = "W4A4"


def few_images(given: Given) -> Chart | None:
    """A panel per task and kind of test set; None where one number of images was measured."""
    settings = few_settings(given.quality, BITS)
    if not settings:
        return None
    panels = []
    for kind in given.quality.kinds():
        for task, listed in settings.items():
            split = given.quality.real(task)[0] if kind == REAL else SCENES
            panels.append(_panel(given, task, split, KINDS[kind], listed))
    methods = list(dict.fromkeys(s.method for listed in settings.values() for s in listed))
    caption = f"PSNR of {BITS} against the number of training images; dashed: FP32, trained on all."
    return Chart(caption, panels, [(label(method), shade(method)) for method in methods])


def _panel(given: Given, task: str, split: str, kind: str, settings: list[Setting]) -> Panel:
    numbers = sorted({s.images for s in settings}, key=count)
    level = float(given.quality.values(task, split, "psnr", FP32).mean())
    dashes = {"color": FLOAT, "dash": "dash", "width": 1.5}
    traces = [go.Scatter(x=numbers, y=rounded([level] * len(numbers)), mode="lines", name="FP32", line=dashes)]
    for method in dict.fromkeys(s.method for s in settings):
        points = sorted((s for s in settings if s.method == method), key=lambda s: count(s.images))
        values = [float(given.quality.values(task, split, "psnr", s).mean()) for s in points]
        line = {"color": shade(method), "width": 3 if method.startswith("qdr") else 1.6}
        x = [s.images for s in points]
        traces.append(go.Scatter(x=x, y=rounded(values), mode="lines+markers", name=say(label(method)), line=line))
    x_axis = axis("training images", type="category", categoryorder="array", categoryarray=numbers)
    title = f"{TASK_LABELS[task]}, {kind}"
    words = f"{title}: PSNR of {len(traces) - 1} methods on {', '.join(numbers)} training images"
    return Panel(title, words, plain(traces, xaxis=x_axis, yaxis=axis("PSNR (dB)"), hovermode="x"))
