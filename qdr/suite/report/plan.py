"""The dry run of a profile: its matrix, what it takes, and what more workers make of it. Nothing is trained.

Hours are step times of `results/<profile>/steps.csv`, measured by `qdr plan --measure` on the machine that `steps.json`
names, times the profile's steps; the times to the end are simulated schedules (`qdr.suite.train.order`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.fanout import estimate
from qdr.suite.report.load import STEPS, load
from qdr.suite.train.order import chains, makespan
from qdr.suite.train.plan import Run, matrix, steps_of

WORKERS = (1, 2, 4, 8, 16, 32, 64)
HOUR = 3600.0


@dataclass(frozen=True)
class Plan:
    """A profile's cells and the steps of each; where steps were timed, on what, the seconds of each and the bytes of all."""

    profile: str
    needs: dict[Run, list[Run]]
    steps: dict[Run, int]
    seconds: dict[Run, float] = field(default_factory=dict)
    size: int = 0
    device: str = ""
    threads: int = 1

    @property
    def timed(self) -> bool:
        """Whether steps of this profile were timed, on whatever machine."""
        return bool(self.seconds)

    def hours(self, workers: int) -> float:
        """Simulated hours to the end with so many workers."""
        return makespan(self.seconds, self.needs, workers) / HOUR

    @property
    def longest(self) -> float:
        """Hours of the longest chain of needs: no number of workers is faster."""
        return max(chains(self.seconds, self.needs).values()) / HOUR


def read_plan(config: Config) -> Plan:
    """The plan of a profile, with its measured step times where there are some.

    Raises:
        QdrError: when they are of another matrix than the profile's.
    """
    path, needs = paths.results(config.profile) / "steps.csv", matrix(config)
    steps = {run: steps_of(config, run) for run in needs}
    if not path.is_file():
        return Plan(config.profile, needs, steps)
    rows = [{str(key): value for key, value in row.items()} for row in load(path, STEPS).to_dict("records")]
    seconds = estimate.seconds(config, needs, rows, str(path))
    size, first = estimate.storage(needs, rows), rows[0]
    return Plan(config.profile, needs, steps, seconds, size, str(first["device"]), int(first["threads"]))


def show(plan: Plan, console: Console) -> None:
    """Print the matrix by method, and the hours by number of workers."""
    table = Table(title=f"{plan.profile}: {len(plan.needs)} models", title_justify="left")
    for name in ("method", "bits", "tasks", "models", "steps each", *(("hours each", "hours") if plan.timed else ())):
        table.add_column(name, justify="left" if name in ("method", "bits", "tasks") else "right")
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in plan.needs:
        groups[run.method, run.bits].append(run)
    for (method, bits), runs in groups.items():
        hours = [plan.seconds[run] / HOUR for run in runs] if plan.timed else []
        tasks, steps = ", ".join(dict.fromkeys(run.task for run in runs)), max(plan.steps[run] for run in runs)
        times = [f"{max(hours):.3g}", f"{sum(hours):.3g}"] if hours else []
        table.add_row(method, bits, tasks, str(len(runs)), str(steps), *times)
    console.print(table)
    if not plan.timed:
        console.print(
            f"hours and storage: `qdr plan --profile {plan.profile} --measure` times a few steps of each kind here"
        )
        return
    where = f"{plan.device}, {plan.threads} thread{'s' if plan.threads > 1 else ''}"
    console.print(f"steps timed on: {where} (results/{plan.profile}/steps.json); storage: {plan.size / 1e6:.0f} MB")
    console.print(f"the longest chain, a teacher and what learns from it: {plan.longest:.3g} hours")
    for workers in WORKERS:
        console.print(f"{workers:3d} worker{'s' if workers > 1 else ' '}: {plan.hours(workers):.3g} hours (simulated)")
