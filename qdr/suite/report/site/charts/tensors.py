"""The INT8 model as a graph: its quantized tensors from the image to the output, by resolution, with bits and scales."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from qdr.suite.report.load import GRAPH, load
from qdr.suite.report.quality import TASK_LABELS, label
from qdr.suite.report.site.charts.look import BLUE, INT8, axis, logarithmic, plain, rounded, say
from qdr.suite.report.site.parts import Chart, Given, Panel
from qdr.suite.report.tables.table import Table

COLOURS = {"activations": INT8, "weights": BLUE}
HEADER = [
    "Position",
    "Tensor",
    "Kind",
    "Operators",
    "Computed from",
    "Bits",
    "Scales",
    "Smallest",
    "Median",
    "Largest",
    "Shape",
]


def graph_table(given: Given) -> Table:
    """A row per quantized tensor."""
    frame = load(given.folder / "graph.csv", GRAPH)
    rows = []
    for row in frame.to_dict("records"):
        scales = "one" if row["granularity"] == "tensor" else f"{row['scales']} (per channel)"
        cells = [str(row[key]) for key in ("position", "tensor", "kind", "operator", "inputs", "width")]
        ends = [f"{row[key]:.3g}" for key in ("scale_min", "scale_median", "scale_max")]
        rows.append([*cells, scales, *ends, str(row["shape"])])
    first = frame.iloc[0]
    name = f"{label(str(first['method']))} {first['bits']}"
    caption = f"Quantized tensors of {name}, {TASK_LABELS[str(first['task'])]}, in the order of the exported Q/DQ file."
    notes = [
        "A value is scale x integer, zero point 0. Computed from: the quantized tensors above; what lies between is not "
        "rounded. Shapes: of weights out x in x height x width, of activations batch x channels x height x width."
    ]
    return Table("graph", caption, HEADER, rows, notes)


def graph_chart(given: Given) -> Chart:
    """Activations by resolution, joined by what they are computed from; below, the scales of every tensor."""
    frame = load(given.folder / "graph.csv", GRAPH)
    activations = frame[frame["kind"] == "activations"].reset_index(drop=True)
    counts = frame["kind"].value_counts()
    words = f"{counts.get('activations', 0)} quantized activations and {counts.get('weights', 0)} quantized weights"
    panels = [
        Panel("From the image to the output", f"The INT8 model: {words}", _network(activations)),
        Panel("Scales", f"Scales of {words}", _scales(frame)),
    ]
    caption = (
        "First: quantized activations in the order they are computed, by the height of the tensor; a line joins a tensor "
        "with what it is computed from, the arcs are skip connections. Second: the scale of every tensor; a bar spans those "
        "of its channels."
    )
    return Chart(caption, panels, list(COLOURS.items()), columns=2)


def _network(rows: pd.DataFrame) -> dict[str, Any]:
    names, heights = rows["tensor"].tolist(), [int(shape.split("x")[-2]) for shape in rows["shape"]]
    place = {name: number for number, name in enumerate(names)}
    traces: list[Any] = []
    for number, inputs in enumerate(rows["inputs"]):
        for source in (place[name] for name in inputs.split() if name in place):
            far = number - source > 1
            middle = [((source + number) / 2, heights[number] * 1.25)] if far else []
            path = [(source, heights[source]), *middle, (number, heights[number])]
            line = {"color": "#8a9099", "width": 1.2, "shape": "spline" if far else "linear"}
            x, y = zip(*path, strict=True)
            traces.append(go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip"))
    texts = [
        f"{say(row['tensor'])}<br>{say(row['operator'])}<br>{row['width']} bits, scale {row['scale_median']:.3g}"
        f"<br>{say(row['shape'])}"
        for row in rows.to_dict("records")
    ]
    marker = {"size": 12, "color": INT8, "line": {"width": 1, "color": "white"}}
    traces.append(
        go.Scatter(x=list(range(len(names))), y=heights, mode="markers", marker=marker, text=texts, hoverinfo="text")
    )
    ticks = sorted(set(heights))
    y_axis = axis("height (pixels)", type="log", tickvals=ticks, ticktext=[str(tick) for tick in ticks])
    return plain(traces, xaxis=axis("quantized activation, in order"), yaxis=y_axis, height=320)


def _scales(frame: pd.DataFrame) -> dict[str, Any]:
    traces = []
    for kind, colour in COLOURS.items():
        rows = frame[frame["kind"] == kind]
        texts = [
            f"{say(row['tensor'])}, {kind}<br>{row['width']} bits, {row['scales']} scales<br>"
            f"{row['scale_min']:.3g} to {row['scale_max']:.3g}, median {row['scale_median']:.3g}"
            for row in rows.to_dict("records")
        ]
        above, below = rows["scale_max"] - rows["scale_median"], rows["scale_median"] - rows["scale_min"]
        reach = {"type": "data", "array": rounded(above), "arrayminus": rounded(below), "thickness": 1.2, "width": 0}
        how = {"mode": "markers", "marker": {"color": colour, "size": 7}, "text": texts, "hoverinfo": "text"}
        x = rows["position"].tolist()
        traces.append(go.Scatter(x=x, y=rounded(rows["scale_median"]), error_y=reach, name=kind, **how))
    return plain(
        traces,
        xaxis=axis("tensor, in order"),
        yaxis=logarithmic("scale", [*frame["scale_min"], *frame["scale_max"]]),
        height=320,
    )
