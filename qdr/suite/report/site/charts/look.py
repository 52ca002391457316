"""One look for all charts: colours that can be seen on light and on dark, and figures as plain data.

Text, grid and background take the colours of the page when it is shown (assets/site.js), so that they follow its theme.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from qdr.suite.report.style import colour

Json = dict[str, Any]
ON_SCREEN = {"fp32": "#808890", "fp32-tuned": "#a9b0b7", "fp32-no-ldg": "#5d7184", "qdr-no-dfd": "#b8a800"}
INT8, FLOAT = "#D55E00", ON_SCREEN["fp32"]
BLUE, GREEN = "#0072B2", "#009E73"


def shade(method: str) -> str:
    """The colour of a method: that of the paper's figures but for those that vanish on one of the two backgrounds."""
    return ON_SCREEN.get(method.partition("@")[0]) or colour(method)


def say(text: object) -> str:
    """Text for Plotly, which reads some tags.

    >>> say("a<b")
    'a&lt;b'
    """
    return html.escape(str(text), quote=False)


def plain(traces: list[Any], **layout: Any) -> Json:
    """A checked figure as plain data, without Plotly's own theme."""
    base = {"template": go.layout.Template(), "showlegend": False, "hovermode": "closest", "dragmode": False}
    base |= {"margin": {"l": 58, "r": 12, "t": 8, "b": 44}, "height": 280}
    figure = go.Figure(traces, layout=base | layout)
    found: Json = json.loads(to_json_plotly(figure, engine="json"))
    return {"data": found["data"], "layout": found["layout"]}


def axis(title: str, **options: Any) -> Json:
    """An axis with its title."""
    return {"title": {"text": title, "standoff": 8}, "automargin": True, "zeroline": False} | options


def logarithmic(title: str, values: Iterable[float]) -> Json:
    """A logarithmic axis with whole labels at 1, 2 and 5, or at powers of ten where there are many of those.

    >>> logarithmic("", [0.03, 0.4])["ticktext"]
    ['0.02', '0.05', '0.1', '0.2', '0.5']
    """
    found = [value for value in values if value == value and value > 0]
    low, high = (math.log10(end) for end in (min(found, default=1), max(found, default=1)))
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in ((1, 2, 5) if high - low < 2.5 else (1,))]
    near = [tick for tick in ticks if low - 0.35 <= math.log10(tick) <= high + 0.35]
    return axis(title, type="log", tickvals=near, ticktext=[f"{tick:g}" for tick in near])


def rounded(values: Any, digits: int = 5) -> list[float | None]:
    """Numbers with as many significant digits as can be seen; None where there is none.

    >>> rounded([0.12345678, float("nan")])
    [0.12346, None]
    """
    return [float(f"{float(value):.{digits}g}") if value == value else None for value in values]
