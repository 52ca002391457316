"""PSNR against latency of every network that was trained in the same budget, in FP32 and INT8."""

from __future__ import annotations

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from qdr.report.peers import Peers
from qdr.report.style import colour

REAL_TIME = 1000 / 30  # milliseconds
PALETTE = ("#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#8C564B", "#F0E442", "#117733", "#999999")
Point = tuple[float, float]


def peers_figure(peers: Peers) -> Figure:
    """Hollow: FP32; filled: INT8 by calibration; star: QDR. The line is the front that no network is above and left of."""
    figure, axis = plt.subplots(figsize=(6.4, 3.9))
    colours = [colour("qdr"), *(PALETTE[i % len(PALETTE)] for i in range(len(peers.networks) - 1))]
    points: list[Point] = []
    for peer, shade in zip(peers.networks, colours, strict=True):
        ends = [(peer.milliseconds["fp32"], float(peer.fp32.mean())), (peer.milliseconds["int8"], float(peer.int8.mean()))]
        axis.plot(*zip(*ends, strict=True), "-", color=shade, linewidth=0.8, alpha=0.6, zorder=2)
        for (x, y), face in zip(ends, ("white", shade), strict=True):
            axis.plot(x, y, "o", color=shade, markerfacecolor=face, markersize=7, markeredgewidth=1.4, zorder=3)
        points += ends
    if len(peers.qdr):
        points.append((peers.own.milliseconds["int8"], float(peers.qdr.mean())))
        axis.plot(*points[-1], "*", color=colours[0], markersize=11, zorder=4)
    _draw_front(axis, points)
    axis.axvline(REAL_TIME, color="#444444", linewidth=0.9, linestyle=":")
    axis.annotate(
        "30 FPS",
        (REAL_TIME, 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(3, 0),
        textcoords="offset points",
        fontsize=8,
    )
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.margins(x=0.08, y=0.1)
    axis.set_xlabel(f"median latency (ms), OpenVINO, {peers.threads} threads, {peers.side}x{peers.side}")
    axis.set_ylabel("PSNR (dB)")
    axis.set_title(f"{peers.test_set}, {len(peers.degraded)} images; equal training for all", fontsize=9)
    _legend(axis, [peer.label for peer in peers.networks], colours, bool(len(peers.qdr)))
    figure.tight_layout()
    return figure


def front(points: list[Point]) -> list[Point]:
    """The points that no other one is as fast and as good as, fastest first.

    >>> front([(1, 20), (2, 19), (3, 25), (4, 25)])
    [(1, 20), (3, 25)]
    """
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p[0], -p[1])):
        if not kept or point[1] > kept[-1][1]:
            kept.append(point)
    return kept


def _draw_front(axis: Axes, points: list[Point]) -> None:
    best = front(points)
    slowest = max(x for x, _ in points)
    x, y = zip(*best, (slowest, best[-1][1]), strict=True)
    axis.step(x, y, where="post", color="#444444", linewidth=1.0, linestyle="--", zorder=1)


def _legend(axis: Axes, labels: list[str], colours: list[str], starred: bool) -> None:
    def mark(name: str, shade: str, face: str, marker: str = "o") -> Line2D:
        return Line2D(
            [], [], color=shade, marker=marker, linestyle="", markerfacecolor=face, markeredgewidth=1.4, label=name
        )

    handles = [mark(name, shade, shade) for name, shade in zip(labels, colours, strict=True)]
    handles += [mark("FP32", "#444444", "white"), mark("INT8, calibrated", "#444444", "#444444")]
    handles += [mark("INT8, QDR", colours[0], colours[0], "*")] if starred else []
    handles.append(Line2D([], [], color="#444444", linewidth=1.0, linestyle="--", label="Pareto front"))
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02), fontsize=8, frameon=False)
