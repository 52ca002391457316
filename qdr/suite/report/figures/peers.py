"""PSNR against latency of every network that was trained in the same budget, in FP32 and INT8."""

from __future__ import annotations

import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from qdr.suite.report.peers import OWN, Peers

REAL_TIME = 1000 / 30  # milliseconds
FAMILY, OTHERS = "OrRd", ("#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#117733", "#7F7F7F", "#6A3D9A", "#444444")
MARKERS = "oD^vPX<>"
NEAR = 1.5  # dB around the EFM that the second panel shows
Point = tuple[float, float]
Look = tuple[str, str]


def peers_figure(peers: Peers) -> Figure:
    """Hollow: FP32; filled: INT8 by calibration; star: QDR. The line is the front that no network is above and left of.

    The EFM and its forms are circles from yellow to red, others have a marker and a colour of their own. The second panel
    shows what is near the EFM.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.9), width_ratios=(1, 1.35))
    looks = _looks(peers)
    own = float(peers.own.int8.mean())
    for axis in axes:
        _draw(axis, peers, looks)
    axes[1].set_ylim(own - NEAR / 2, own + NEAR)
    axes[0].set_ylabel("PSNR (dB)")
    axes[0].set_title(f"{peers.test_set}, {len(peers.degraded)} images; equal training for all", fontsize=9)
    axes[1].set_title("near the EFM", fontsize=9)
    _legend(axes[1], [peer.label for peer in peers.networks], looks, bool(len(peers.qdr)))
    figure.tight_layout()
    return figure


def _looks(peers: Peers) -> list[Look]:
    """Colour and marker of each network."""
    family = [peer.name for peer in peers.networks if peer.name.startswith(OWN)]
    shades = sns.color_palette(FAMILY, len(family) + 2).as_hex()[2:]
    others = [peer.name for peer in peers.networks if not peer.name.startswith(OWN)]
    looks = {name: (shade, "o") for name, shade in zip(family, reversed(shades), strict=True)}
    looks |= {name: (OTHERS[i % len(OTHERS)], MARKERS[1 + i % (len(MARKERS) - 1)]) for i, name in enumerate(others)}
    return [looks[peer.name] for peer in peers.networks]


def _draw(axis: Axes, peers: Peers, looks: list[Look]) -> None:
    points: list[Point] = []
    for peer, (shade, marker) in zip(peers.networks, looks, strict=True):
        ends = [(peer.milliseconds["fp32"], float(peer.fp32.mean())), (peer.milliseconds["int8"], float(peer.int8.mean()))]
        axis.plot(*zip(*ends, strict=True), "-", color=shade, linewidth=0.8, alpha=0.6, zorder=2)
        for (x, y), face in zip(ends, ("white", shade), strict=True):
            axis.plot(x, y, marker, color=shade, markerfacecolor=face, markersize=6, markeredgewidth=1.3, zorder=3)
        points += ends
    if len(peers.qdr):
        points.append((peers.own.milliseconds["int8"], float(peers.qdr.mean())))
        axis.plot(*points[-1], "*", color=looks[0][0], markersize=11, zorder=4)
    _draw_front(axis, points)
    axis.axvline(REAL_TIME, color="#444444", linewidth=0.9, linestyle=":")
    corner = (REAL_TIME, 0.02)
    axis.annotate("30 FPS", corner, (3, 0), xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=8)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.margins(x=0.08, y=0.1)
    axis.set_xlabel(f"median latency (ms), OpenVINO, {peers.threads} threads, {peers.side}x{peers.side}", fontsize=8)


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


def _legend(axis: Axes, labels: list[str], looks: list[Look], starred: bool) -> None:
    def mark(name: str, shade: str, face: str, marker: str = "o") -> Line2D:
        return Line2D(
            [], [], color=shade, marker=marker, linestyle="", markerfacecolor=face, markeredgewidth=1.3, label=name
        )

    handles = [mark(name, shade, shade, marker) for name, (shade, marker) in zip(labels, looks, strict=True)]
    handles += [mark("FP32", "#444444", "white"), mark("INT8, calibrated", "#444444", "#444444")]
    handles += [mark("INT8, QDR", looks[0][0], looks[0][0], "*")] if starred else []
    handles.append(Line2D([], [], color="#444444", linewidth=1.0, linestyle="--", label="Pareto front"))
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02), fontsize=7.5, frameon=False)
