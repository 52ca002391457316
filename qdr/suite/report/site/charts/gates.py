"""LDG's gate maps beside the true degradation map, value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image

from qdr.suite.report.figures.gates import correlation, grey
from qdr.suite.report.quality import TASK_LABELS
from qdr.suite.report.site.charts.look import plain
from qdr.suite.report.site.parts import Chart, Given, Panel

CAPTION = (
    "Does LDG open where the degradation is? Of each task the true degradation map at a quarter of the resolution, then one "
    "gate map per place, each stretched to its own range; r: Pearson's correlation of the two over pixels."
)


def gates(given: Given) -> Chart | None:
    """A panel per map; None where there is none."""
    panels = []
    for task, name in TASK_LABELS.items():
        folder = given.folder / "gates" / task
        if not (folder / "truth.png").is_file():
            continue
        truth = grey(folder / "truth.png")
        for level, path in enumerate(sorted(folder.glob("gate*.png"))):
            gate = grey(path)
            height, width = gate.shape
            small = np.asarray(Image.fromarray(truth).resize((width, height), Image.Resampling.BOX))
            if level == 0:
                panels.append(_panel(f"{name}: true degradation", small))
            panels.append(_panel(f"{name}: gate at 1/{4 << level}, r = {correlation(gate, small):+.2f}", gate))
    return Chart(CAPTION, panels, columns=3) if panels else None


def _panel(title: str, image: NDArray[np.float32]) -> Panel:
    values = image / 255
    low, high = np.quantile(values, [0.01, 0.99])
    bare: dict[str, Any] = {"visible": False, "constrain": "domain"}
    trace = go.Heatmap(
        z=np.round(values, 3).tolist(),
        zmin=float(low),
        zmax=float(max(high, low + 1e-3)),
        colorscale="Viridis",
        hovertemplate="%{x}, %{y}: %{z:.2f}<extra></extra>",
        colorbar={"thickness": 9, "tickfont": {"size": 10}, "outlinewidth": 0},
    )
    margin = {"l": 4, "r": 4, "t": 4, "b": 4}
    axes = {"xaxis": bare, "yaxis": bare | {"autorange": "reversed", "scaleanchor": "x"}}
    return Panel(title, f"{title}; from {low:.2f} to {high:.2f}", plain([trace], height=200, margin=margin, **axes))
