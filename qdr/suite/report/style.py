"""One look for all figures: print sizes, a colour and a marker per method, exact bytes.

Figures are drawn at the size they are printed in: `WIDE` is the text width of a page of two columns, `NARROW` one column.
A colour follows from the method's name: those of the paper's own methods are fixed (Okabe and Ito's set, safe for
colour-blind readers), any other name is hashed into a second palette. Markers differ too, so that lines differ in
grey. No file carries a date, so the same results give the same bytes.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from qdr.files import replacing
from qdr.suite.evaluate.stats import Interval

LOOKS = {
    "input": ("#8C8C8C", "v"),
    "fp32": ("#000000", "s"),
    "fp32-tuned": ("#666666", "D"),
    "fp32-no-ldg": ("#444444", "P"),
    "ptq": ("#E69F00", "^"),
    "qat": ("#56B4E9", "o"),
    "qat-kd-decoder": ("#CC79A7", "X"),
    "qat-kd-output": ("#7B5EA7", "<"),
    "qat-kd-all": ("#A6761D", ">"),
    "qdr": ("#D55E00", "*"),
    "qdr-no-dfd": ("#C7A500", "d"),
    "qdr-no-lmr": ("#009E73", "h"),
    "qdr-no-ldg": ("#0072B2", "p"),
    "qdr-output": ("#8C564B", "P"),
    "qdr-free": ("#117733", "D"),
}
OTHERS = ("#17BECF", "#BCBD22", "#1F77B4", "#E377C2", "#2CA02C", "#7F7F7F", "#882255", "#332288")
MARKERS = "oD^vPX<>hp"
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
WIDE, NARROW = 7.0, 3.4  # inches
DPI = 200  # of the PNG


@dataclass(frozen=True)
class Drawing:
    """A figure and the caption that it is printed with."""

    figure: Figure
    caption: str
    photographs: bool = False


def look(name: str) -> tuple[str, str]:
    """Colour and marker of a method or network, variants (`qdr@weight=4`) like the method.

    >>> look("qdr@weight=4") == look("qdr")
    True
    """
    name = name.partition("@")[0]
    number = zlib.crc32(name.encode())
    return LOOKS.get(name) or (OTHERS[number % len(OTHERS)], MARKERS[number // 8 % len(MARKERS)])


def colour(method: str) -> str:
    """The colour of a method."""
    return look(method)[0]


def use_style() -> None:
    """Set the look; call before a figure is made."""
    text = {"font.size": 7.5, "axes.titlesize": 8, "axes.labelsize": 7.5, "legend.fontsize": 7, "legend.frameon": False}
    lines = {"axes.linewidth": 0.6, "axes.edgecolor": "#555555", "grid.linewidth": 0.5, "grid.color": "#dddddd"}
    lines |= {"lines.linewidth": 1.1, "lines.markersize": 4.5, "axes.grid": True, "axes.axisbelow": True}
    ticks = {f"{axis}tick.{key}": value for axis in "xy" for key, value in (("labelsize", 7), ("major.width", 0.6))}
    exact = {
        "pdf.fonttype": 42,
        "image.interpolation": "auto",
        "svg.hashsalt": "qdr",
        "figure.constrained_layout.use": True,
    }
    rc: dict[Any, Any] = (
        text | lines | ticks | exact | {"savefig.dpi": DPI, "axes.spines.top": False, "axes.spines.right": False}
    )
    seaborn.set_theme(context="paper", style="ticks", font="DejaVu Sans", rc=rc)


def panels(rows: int, columns: int, height: float, width: float = 0, **options: Any) -> tuple[Figure, Any]:
    """A figure of so many panels, [rows, columns]; sizes in inches, as wide as one column where there is one panel."""
    size = (width or (WIDE if columns > 1 else NARROW), height)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
    return figure, axes


def legend(figure: Figure, axis: Axes | None = None, columns: int = 5) -> None:
    """One legend below all panels, of everything that is drawn in them or in one of them."""
    drawn: dict[str, Any] = {}
    for panel in [axis] if axis is not None else figure.axes:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            drawn.setdefault(name, handle)
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=min(columns, len(drawn)))


def interval(axis: Axes, x: float, y: float, found: Interval, method: str, **options: Any) -> None:
    """A point with its interval, along x unless `vertical`; values times `scale`; other options as of `Axes.errorbar`."""
    scale = options.pop("scale", 1)
    estimate, low, high = (scale * value for value in (found.estimate, found.low, found.high))
    reach = "yerr" if options.pop("vertical", False) else "xerr"
    shade, marker = look(method)
    how: dict[str, Any] = {reach: np.maximum(0, [[estimate - low], [high - estimate]]), "color": shade, "marker": marker}
    how |= {"linestyle": "", "capsize": 2, "elinewidth": 0.9, "markersize": 6 if marker == "*" else 4}
    axis.errorbar(x, y, **how | options)


def bare(axis: Axes) -> None:
    """A panel that shows a picture: no ticks, no grid, no edges."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.grid(False)


def name_points(axis: Axes, points: list[tuple[float, float, str, str]], others: Iterable[tuple[float, float]] = ()) -> None:
    """Write (x, y, text, colour) beside points, where no other text and no point of `others` is; limits must be set."""
    figure: Any = axis.figure
    figure.draw_without_rendering()  # the layout decides where points are
    half = 3 * figure.dpi / 72
    places = [axis.transData.transform((x, y)) for x, y, *_ in [*points, *others]]
    taken = [Bbox.from_bounds(x - half, y - half, 2 * half, 2 * half) for x, y in places]
    around = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (-0.7, 0.7), (0.7, -0.7), (-0.7, -0.7))
    for x, y, text, shade in points:
        for far, (dx, dy) in product((5, 9, 14, 20, 28, 38), around):
            how: dict[str, Any] = {
                "fontsize": 6.5,
                "color": shade,
                "ha": "left" if dx > 0 else "right" if dx < 0 else "center",
            }
            how |= {"va": "bottom" if dy > 0 else "top" if dy < 0 else "center"}
            if far > 9:
                how["arrowprops"] = {"arrowstyle": "-", "color": shade, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 1}
            made = axis.annotate(text, (x, y), (far * dx, far * dy), textcoords="offset points", **how)
            made.set_in_layout(False)
            made.update_positions(figure.canvas.get_renderer())
            box = Text.get_window_extent(made)
            if axis.bbox.contains(box.x0, box.y0) and axis.bbox.contains(box.x1, box.y1) and not box.count_overlaps(taken):
                taken.append(box)
                break
            made.remove()


def save(drawing: Drawing, folder: Path, name: str) -> None:
    """Write <name>.png, <name>.pdf and the caption, <name>.txt; close the figure."""
    for suffix, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        with replacing(folder / f"{name}.{suffix}") as temporary:
            drawing.figure.savefig(temporary, format=suffix, metadata=metadata)
    with replacing(folder / f"{name}.txt") as temporary:
        temporary.write_text(drawing.caption + "\n", encoding="utf-8")
    plt.close(drawing.figure)


def data_uri(drawing: Drawing) -> str:
    """The same figure for a page, as SVG or, of photographs, as PNG; closes it."""
    kind, metadata = ("png", {"Software": None}) if drawing.photographs else ("svg", {"Date": None, "Creator": None})
    file = io.BytesIO()
    drawing.figure.savefig(file, format=kind, metadata=metadata)
    plt.close(drawing.figure)
    return embedded(file.getvalue(), f"image/{kind}{'' if drawing.photographs else '+xml'}")


def embedded(content: bytes, kind: str) -> str:
    """The content of a file as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
