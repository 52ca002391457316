"""Measured and predicted speed: networks in one budget, layers against the machine's limit, Jetson Orin, many workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter

from qdr.suite.bench.roofline import LABEL, MODES, TARGET_FPS, Mode, fps
from qdr.suite.evaluate.stats import Interval
from qdr.suite.report.load import ROOFLINE, load, read_machine
from qdr.suite.report.peers import OWN
from qdr.suite.report.results import Results
from qdr.suite.report.style import BLUE, GREEN, ORANGE, PINK, Drawing, interval, legend, look, name_points, panels
from qdr.suite.report.tables.jetson import read_kernels

if TYPE_CHECKING:
    from qdr.suite.report.plan import Plan

REAL_TIME = 1000 / 30  # milliseconds
FAMILY = "#A33B00"  # the EFM and its forms
NEAR = 0.8  # dB around the EFM that the second panel shows
SHOWN = ((256, 256), (512, 512), (720, 1280))  # height, width
Point = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """A network of the figure: INT8 latency, PSNR minus the EFM's, and its FP32 point (ms, dB)."""

    name: str
    label: str
    milliseconds: float
    int8: Interval
    fp32: Point

    @property
    def point(self) -> Point:
        """Milliseconds and dB in INT8."""
        return self.milliseconds, self.int8.estimate

    @property
    def look(self) -> tuple[str, str]:
        """Colour and marker: one for the EFM and its forms."""
        return (FAMILY, "o") if self.name.startswith(OWN) else look(self.name)


def peers(results: Results) -> Drawing | None:
    """PSNR minus the EFM's against latency, every network named; the second panel shows what is near the EFM."""
    if not results.has("latency.csv"):
        return None
    found = results.peers
    if found is None:
        return None
    own, stats = found.own.int8, results.stats
    rows: list[Row] = []
    for peer in found.networks:
        slow = (peer.milliseconds["fp32"], float((peer.fp32 - own).mean()))
        rows.append(Row(peer.name, peer.label, peer.milliseconds["int8"], stats.difference(peer.int8, own), slow))
    if len(found.qdr):
        rows.append(Row("qdr", "EFM, QDR", rows[0].milliseconds, stats.difference(found.qdr, own), rows[0].fp32))
    near = sorted((row for row in rows if abs(row.int8.estimate) < NEAR), key=lambda row: row.milliseconds)
    figure, ((left, right),) = panels(1, 2, max(2.6, 0.8 + 0.16 * len(near)), width_ratios=(1.25, 1))
    for row in rows:
        shade, marker = row.look
        left.plot(*zip(row.fp32, row.point, strict=True), "-", color=shade, linewidth=0.7)
        left.plot(*row.fp32, row.look[1] if row.name != "qdr" else "o", color=shade, markerfacecolor="white", zorder=1)
        interval(left, *row.point, row.int8, row.name, vertical=True, color=shade, marker=marker)
    best, slowest = front([row.point for row in rows]), max(row.fp32[0] for row in rows)
    x, y = zip(*best, (slowest, best[-1][1]), strict=True)
    left.step(x, y, where="post", color="#444444", linewidth=0.8, linestyle="--", zorder=1)
    left.axvline(REAL_TIME, color="#444444", linewidth=0.8, linestyle=":")
    left.set(
        xscale="log", xlabel="median latency (ms)", ylabel="PSNR minus that of the EFM, INT8 (dB)", title="all networks"
    )
    left.set_xlim(0.6 * min(row.milliseconds for row in rows), 2 * slowest)
    left.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    for place, row in enumerate(near):
        interval(right, row.int8.estimate, place, row.int8, row.name, color=row.look[0], marker=row.look[1])
    right.axvline(0, color="black", linewidth=0.8)
    right.set_yticks(range(len(near)), [f"{row.label}, {row.milliseconds:.1f} ms" for row in near])
    right.set_ylim(len(near) - 0.5, -0.5)
    right.set(title=f"within {NEAR} dB of the EFM", xlabel="PSNR minus the EFM's, INT8 (dB)")
    far = [(*row.point, row.label, row.look[0]) for row in rows if row not in near]
    middles = [((row.fp32[0] * row.milliseconds) ** 0.5, (row.fp32[1] + row.point[1]) / 2) for row in rows]
    others = [*(row.point for row in rows), *(row.fp32 for row in rows), *middles]
    name_points(left, [*far, (rows[0].milliseconds, -0.8, "EFM and its forms", FAMILY)], others)
    caption = (
        f"Networks trained in one budget (equal steps, batch and data): {found.test_set}, {len(found.degraded)} images, 1 "
        f"seed each, against the median latency in OpenVINO ({found.threads} threads, {found.side}x{found.side}). Filled: "
        "INT8 by calibration (star: QDR), hollow: FP32 of the same network. Dashed: what no INT8 network beats in both; "
        f"dotted: 30 frames per second. Right: by latency. Bars: {results.level} paired t intervals of the "
        "difference to the EFM."
    )
    return Drawing(figure, caption)


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


def roofline(results: Results) -> Drawing | None:
    """The rate of every convolution against its operations per byte, and the measured limits (Williams et al., 2009).

    A layer of i operations per byte cannot run faster than min(peak, i x bandwidth); the bandwidth is that of the memory or
    of the cache, where a layer's input may still be. Named: layers below 40 % of their peak that take 3 % of the time.
    """
    if not results.has("roofline.csv", "machine.json"):
        return None
    frame, machine = load(results.folder / "roofline.csv", ROOFLINE), read_machine(results.folder / "machine.json")
    sides = sorted(set(frame["height"].tolist()))
    figure, axes = panels(1, len(sides), 2.9, sharex=True, sharey=True)
    for axis, side in zip(axes[0], sides, strict=True):
        axis.set(xscale="log", yscale="log", xlabel="operations per byte moved", title=f"{side}x{side} pixels")
        named = []
        for precision, name, shade, marker in (("int8", "INT8", ORANGE, "o"), ("fp32", "FP32", "#000000", "s")):
            peak = machine["peaks"][f"{precision}_gops"][str(machine["threads"])]
            x = np.geomspace(0.3, 1000, 100)
            for kind, line in (("cache", "-"), ("memory", ":")):
                limit = np.minimum(peak, x * machine["peaks"][f"{kind}_gbs"][str(machine["threads"])])
                axis.plot(x, limit, line, color=shade, linewidth=0.9, label=f"{name} limit, {kind}")
            axis.annotate(
                f"{name} peak {peak:.0f}", (0.35, peak), (0, 2), textcoords="offset points", color=shade, fontsize=6.5
            )
            rows = frame[(frame["height"] == side) & (frame["precision"] == precision)]
            time = rows["microseconds"] / rows["microseconds"].sum()
            rows, time = rows[rows["macs"] > 0], time[rows["macs"] > 0]
            at = 2 * rows["macs"] / rows["bytes"]
            style: dict[str, Any] = {
                "color": shade,
                "marker": marker,
                "alpha": 0.6,
                "edgecolors": "white",
                "linewidths": 0.4,
            }
            axis.scatter(at, rows["gops"], s=np.maximum(400 * time, 5), label=f"{name} convolution", **style)
            slow = (rows["share"] < 0.4) & (time > 0.03)
            named += list(zip(at[slow], rows["gops"][slow], rows["layer"][slow], [shade] * int(slow.sum()), strict=True))
        axis.set_xlim(0.3, 1200)
        name_points(axis, named)
    axes[0][0].set_ylabel("GOPS")
    legend(figure, axes[0][0], 3)
    caption = (
        f"Every convolution of the EFM in OpenVINO, {machine['threads']} threads, against the measured limits of "
        f"{machine['cpu']}. Area: share of the model's time. Named: layers that reach less than 40 % of their precision's "
        "peak and take more than 3 % of the time."
    )
    return Drawing(figure, caption)


def jetson_prediction(results: Results) -> Drawing | None:
    """Predicted frames per second: a panel per size, a row per module in its fastest mode, a marker per form of the EFM."""
    if not results.has("kernels.csv"):
        return None
    layers = read_kernels(results.folder / "kernels.csv")
    fastest = {mode.device: mode for mode in reversed(MODES)}
    rows: dict[object, list[Mode]] = {}
    for mode in reversed(fastest.values()):  # modules with the same GPU and memory share a row
        rows.setdefault((mode.gpu_tops, mode.bandwidth), []).append(mode)
    figure, (axes,) = panels(1, len(SHOWN), 0.95 + 0.26 * len(rows), sharex=True, sharey=True)
    looks = ((GREEN, "^"), (BLUE, "o"), (PINK, "s"), (ORANGE, "D"))
    for axis, (height, width) in zip(axes, SHOWN, strict=True):
        for number, ((model, listed), (shade, marker)) in enumerate(zip(layers.items(), looks, strict=False)):
            for place, (mode, *_) in enumerate(rows.values()):
                low, mid, high = fps(listed, mode, height * width)
                y = place + 0.24 * (number - (len(layers) - 1) / 2)
                axis.plot((low, high), (y, y), color=shade, linewidth=0.9)
                axis.plot(mid, y, marker, color=shade, markersize=3.2, label=f"EFM {model}")
        axis.axvline(TARGET_FPS, color="black", linewidth=0.8, linestyle="--")
        axis.set(xscale="log", title=f"{width}x{height} pixels", xlabel="frames per second")
        ticks = [50, 150, TARGET_FPS, 1500, 5000]
        axis.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(False, axis="y")
    names = [", ".join([modes[0].device, *(mode.device.split()[-1] for mode in modes[1:])]) for modes in rows.values()]
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.45, -0.55)
    legend(figure)
    caption = (
        f"{LABEL}: INT8 on the GPU of every Jetson Orin in its fastest power mode, from datasheets at middle efficiency; "
        f"bars from low to high efficiency. Dashed: the paper's {TARGET_FPS:.0f} frames per second; it names neither module "
        "nor size."
    )
    return Drawing(figure, caption)


def makespan(plan: Plan) -> Drawing:
    """Hours to the end of a profile's training against workers, with the two bounds that no schedule beats."""
    from qdr.suite.report.plan import WORKERS  # imports torch, which the other figures do without

    hours = [plan.hours(workers) for workers in WORKERS]
    figure, axes = panels(1, 1, 2.3)
    axis = axes[0][0]
    axis.plot(WORKERS, hours, "o-", color=BLUE, label="simulated schedule", zorder=3)
    axis.plot(WORKERS, [hours[0] / workers for workers in WORKERS], ":", color="#444444", label="work / workers")
    axis.axhline(plan.longest, color=ORANGE, linestyle="--", label="longest chain")
    for workers, value in zip(WORKERS, hours, strict=True):
        axis.annotate(f"{value:.3g}", (workers, value), (4, 3), textcoords="offset points", fontsize=6.5)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_xticks(WORKERS)
    axis.margins(x=0.1, y=0.15)
    axis.set(xlabel="workers", ylabel="hours to the end")
    axis.legend()
    caption = (
        f"Training of profile {plan.profile}, {len(plan.needs)} models: a simulated schedule, not a measurement, from steps "
        f"timed on {plan.device.upper()}. No schedule is faster than the work over the workers, nor than the longest chain "
        "of models that need each other."
    )
    return Drawing(figure, caption)
