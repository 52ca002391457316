"""Layer by layer: what quantizing one alone costs, and how near each is to the machine's limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from qdr.rows import read_json
from qdr.suite.report.figures.sensitivity import COLOUR
from qdr.suite.report.load import ROOFLINE, SENSITIVITY, load
from qdr.suite.report.quality import TASK_LABELS
from qdr.suite.report.site.charts.look import FLOAT, INT8, axis, logarithmic, plain, rounded, say
from qdr.suite.report.site.parts import Chart, Given, Panel

KINDS = {"int8": ("INT8", INT8, "circle"), "fp32": ("FP32", FLOAT, "square")}


def sensitivity(given: Given) -> Chart:
    """A panel per scheme: PSNR lost when one layer alone is quantized, in the order of the network."""
    frame = load(given.folder / "sensitivity.csv", SENSITIVITY)
    task, panels = TASK_LABELS[str(frame["task"].iloc[0])], []
    order = [say(name) for name in dict.fromkeys(frame["layer"])]
    for scheme in dict.fromkeys(frame["bits"]):
        part = frame[frame["bits"] == scheme]
        traces = [_bars(part[part["kind"] == kind], kind, colour) for kind, colour in COLOUR.items()]
        x = axis("", type="category", categoryorder="array", categoryarray=order, tickangle=-60, tickfont={"size": 9})
        worst = part.sort_values("psnr_drop_db", ascending=False, kind="stable").iloc[0]
        words = f"{task}, {scheme}: {worst['layer']} loses most, {worst['psnr_drop_db']:.3f} dB"
        figure = plain(traces, xaxis=x, yaxis=axis("PSNR lost (dB)"), barmode="overlay", height=340, bargap=0.15)
        panels.append(Panel(f"{task}, {scheme}", words, figure))
    caption = "PSNR lost when one layer alone is quantized after training and all others stay FP32, validation scenes."
    return Chart(caption, panels, list(COLOUR.items()), columns=2)


def _bars(rows: pd.DataFrame, kind: str, colour: str) -> go.Bar:
    texts = [
        f"{say(row['layer'])}, {kind}, {row['width']} bits<br>{row['psnr_drop_db']:+.4f} dB, SQNR {row['sqnr_db']:.1f} dB"
        for row in rows.to_dict("records")
    ]
    names = [say(name) for name in rows["layer"]]
    how = {"marker": {"color": colour}, "hovertext": texts, "hoverinfo": "text"}
    return go.Bar(x=names, y=rounded(rows["psnr_drop_db"]), name=kind, **how)


def roofline(given: Given) -> Chart:
    """A panel per side: rate against operations per byte, the area of a point its share of the model's time."""
    frame, machine = load(given.folder / "roofline.csv", ROOFLINE), read_json(given.folder / "machine.json")
    panels = []
    for side in sorted(set(frame["height"].tolist())):
        part = frame[(frame["height"] == side) & (frame["macs"] > 0)]
        traces: list[Any] = []
        for precision in KINDS:
            traces += _limits(machine["peaks"], str(machine["threads"]), precision)
            traces.append(_points(part[part["precision"] == precision], precision))
        x = axis("operations per byte moved", type="log", range=[0, 3.1], dtick=1)
        y = logarithmic("GOPS", [*part["gops"], *part["peak_gops"]])
        shares = part[part["precision"] == "int8"]["share"]
        words = f"Roofline at {side}x{side}: INT8 convolutions reach {shares.min():.2f} to {shares.max():.2f} of the peak"
        panels.append(Panel(f"{side}x{side}", words, plain(traces, xaxis=x, yaxis=y, height=380)))
    caption = (
        f"Every convolution against the measured limit of {machine['cpu']}, OpenVINO, {machine['threads']} threads. Area: "
        "share of the model's time. Full line: what the cache feeds, dotted: what memory feeds, up to the peak."
    )
    return Chart(caption, panels, [(name, colour) for name, colour, _ in KINDS.values()], columns=2)


def _limits(peaks: dict[str, dict[str, float]], threads: str, precision: str) -> list[go.Scatter]:
    name, colour, _ = KINDS[precision]
    x, peak = np.geomspace(1, 1250, 60), peaks[f"{precision}_gops"][threads]
    lines = []
    for kind, dash in (("cache", "solid"), ("memory", "dot")):
        y = np.minimum(peak, x * peaks[f"{kind}_gbs"][threads])
        style = {"line": {"color": colour, "width": 1.2, "dash": dash}, "mode": "lines"}
        text = f"{name} limit from the {kind}<br>peak {peak:.0f} GOPS"
        lines.append(go.Scatter(x=rounded(x), y=rounded(y), text=[text] * len(x), hoverinfo="text", **style))
    return lines


def _points(layers: pd.DataFrame, precision: str) -> go.Scatter:
    name, colour, symbol = KINDS[precision]
    time = layers["microseconds"] / layers["microseconds"].sum()
    texts = [
        f"{say(row['layer'])}, {name}<br>{row['gops']:.0f} GOPS, {100 * row['share']:.0f} % of the peak<br>"
        f"{row['microseconds']:.0f} µs, {100 * row['macs'] / layers['macs'].sum():.1f} % of the MACs"
        for row in layers.to_dict("records")
    ]
    sizes = rounded(np.maximum(4, 60 * np.sqrt(time)), 3)
    marker = {"size": sizes, "color": colour, "symbol": symbol, "opacity": 0.6, "line": {"width": 0.5, "color": "white"}}
    x = rounded(2 * layers["macs"] / layers["bytes"])
    return go.Scatter(x=x, y=rounded(layers["gops"]), mode="markers", marker=marker, text=texts, hoverinfo="text")
