"""How the time to the end of a profile's training falls with workers: a simulated schedule, not a measurement."""

from __future__ import annotations

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from qdr.suite.report.plan import WORKERS, Plan
from qdr.suite.report.style import OKABE_ITO


def makespan_figure(plan: Plan) -> Figure:
    """Hours against workers, with the two bounds that no schedule beats: work over workers, and the longest chain."""
    hours = [plan.hours(workers) for workers in WORKERS]
    figure, axis = plt.subplots(figsize=(4.6, 3.2))
    axis.plot(WORKERS, hours, "o-", color=OKABE_ITO[0], label="simulated schedule", zorder=3)
    axis.plot(WORKERS, [hours[0] / workers for workers in WORKERS], ":", color="#444444", label="work / workers")
    axis.axhline(plan.longest, color=OKABE_ITO[2], linestyle="--", linewidth=1.0, label="longest chain")
    for workers, value in zip(WORKERS, hours, strict=True):
        axis.annotate(f"{value:.3g}", (workers, value), (4, 4), textcoords="offset points", fontsize=8)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_xticks(WORKERS)
    axis.margins(x=0.1, y=0.15)
    axis.set_xlabel("workers")
    axis.set_ylabel("hours to the end")
    axis.set_title(f"{plan.profile}: {len(plan.needs)} models; steps timed on: {plan.device}", fontsize=9)
    axis.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    return figure
