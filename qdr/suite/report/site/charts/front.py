"""Quality against latency, and which models no other one beats in both."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from qdr.suite.methods import recipe
from qdr.suite.report.figures.speed import timed_as
from qdr.suite.report.load import LATENCY, load
from qdr.suite.report.quality import INPUT, Setting, Values, label, set_label
from qdr.suite.report.site.charts.look import axis, plain, say, shade
from qdr.suite.report.site.parts import Chart, Given, Panel
from qdr.suite.report.tables.quality import show

Point = tuple[float, float, Setting, str]  # milliseconds, dB, what it is, what is shown under the pointer


def front(given: Given) -> Chart | None:
    """A panel per test set: PSNR gain over the input against OpenVINO's median latency at the first side."""
    frame = load(given.folder / "latency.csv", LATENCY)
    frame = frame[(frame["engine"] == "openvino") & (frame["height"] == frame["height"].iloc[0])]
    timed = {(str(row["model"]), str(row["precision"])): row for row in frame.to_dict("records")}
    precisions = timed_as(frame)
    panels, shown = [], []
    for task, split in given.quality.sets(given.kind):
        points = _points(given, task, split, timed, precisions)
        if points:
            shown += [setting for _, _, setting, _ in points]
            words = f"PSNR gain against latency, {set_label(task, split)}: " + "; ".join(text for *_, text in points)
            panels.append(Panel(set_label(task, split), words.replace("<br>", ", "), _figure(points)))
    if not panels:
        return None
    first = frame.iloc[0]
    caption = (
        f"PSNR gain over the degraded input against the median latency of the engine, OpenVINO, {first['threads']} threads, "
        f"{first['height']}x{first['width']}. Square: FP32, round: INT8. The dotted line is the front: what no other model "
        "beats in both. Methods of one network and precision run the same graph and share its latency. Gains that differ by "
        "hundredths mostly do not differ significantly: the table of every method says which do."
    )
    return Chart(caption, panels, [(label(method), shade(method)) for method in dict.fromkeys(s.method for s in shown)])


def best(points: list[Point]) -> list[Point]:
    """The points that are not beaten in both, from the fastest on."""
    ordered = sorted(points, key=lambda point: (point[0], -point[1]))
    return [point for place, point in enumerate(ordered) if all(point[1] > other[1] for other in ordered[:place])]


def _points(
    given: Given, task: str, split: str, timed: dict[tuple[str, str], Any], precisions: dict[str, str]
) -> list[Point]:
    degraded = given.quality.values(task, split, "psnr", INPUT)
    points = []
    for setting in given.quality.settings(task, tuple(precisions)):
        row = timed.get((recipe(setting.method).model, precisions[setting.bits]))
        values = given.quality.values(task, split, "psnr", setting)
        if row is None or setting == INPUT or setting.images != "all" or not len(values):
            continue
        text = _words(given, setting, values, degraded, row)
        points.append((float(row["median_ms"]), float((values - degraded).mean()), setting, text))
    return points


def _words(given: Given, setting: Setting, values: Values, degraded: Values, row: dict[str, Any]) -> str:
    name = say(label(setting.method) + ("" if setting.bits == "FP32" else " INT8"))
    gain = show(given.stats.difference(values, degraded), 2, sign=True)
    return f"{name}<br>PSNR {values.mean():.2f} dB, gain {gain}<br>{row['median_ms']:.2f} ms, p90 {row['p90_ms']:.2f} ms"


def _figure(points: list[Point]) -> dict[str, Any]:
    line = best(points)
    traces: list[Any] = [
        go.Scatter(
            x=[ms for ms, *_ in line],
            y=[round(gain, 4) for _, gain, *_ in line],
            mode="lines",
            line={"dash": "dot", "width": 1.5, "color": "#888888"},
            hoverinfo="skip",
        )
    ]
    for ms, gain, setting, text in points:
        marker = {"size": 11, "color": shade(setting.method), "symbol": "square" if setting.bits == "FP32" else "circle"}
        traces.append(go.Scatter(x=[ms], y=[round(gain, 4)], mode="markers", marker=marker, text=[text], hoverinfo="text"))
    widest = 1.1 * max(ms for ms, *_ in points)
    return plain(traces, xaxis=axis("median latency (ms)", range=[0, widest]), yaxis=axis("PSNR gain (dB)"))
