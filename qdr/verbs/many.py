"""The verbs for many machines: what a profile takes, and its training spread over workers."""

from __future__ import annotations

import argparse
import sys

from qdr.errors import QdrError
from qdr.verbs.parser import Front, print_json


def declare(front: Front) -> None:
    """Add these verbs."""
    verb = front.group("many machines")
    plan = verb(
        "plan",
        _plan,
        "what a profile takes to train: models, hours, storage, and hours by number of workers",
        examples="qdr plan --profile paper\n"
        "qdr plan --profile paper --measure    # time a few steps of each kind on this machine first",
    )
    plan.add_argument("--profile", help="a profile (default: the active one)")
    plan.add_argument("--measure", action="store_true", help="time steps here and write results/PROFILE/steps.csv")
    plan.add_argument("--json", action="store_true", help="print JSON instead of a table")
    fanout = verb(
        "fanout",
        _fanout,
        "train the active profile's models on many workers; `dvc repro` then finds them finished",
        examples="qdr fanout --workers 2\n"
        "qdr fanout --workers 4 --gpus 4             # a CUDA device each\n"
        "qdr fanout --scheduler tcp://10.0.0.1:8786  # workers elsewhere that share this folder",
    )
    fanout.add_argument("--workers", type=int, default=2, help="processes on this machine (2)")
    fanout.add_argument("--scheduler", metavar="ADDRESS", help="use the workers of this Dask scheduler instead")
    fanout.add_argument("--retries", type=int, default=1, help="how often a model that failed is tried again (1)")
    fanout.add_argument("--gpus", type=int, default=0, help="CUDA devices to deal out to the workers (0)")


def _plan(options: argparse.Namespace) -> None:
    from rich.console import Console

    from qdr.suite import config
    from qdr.suite.report import figures, plan

    settings = config.load(config.profile_path(options.profile) if options.profile else None)
    if options.measure:
        from qdr.suite.fanout.estimate import write_steps

        write_steps(settings)
    found, console = plan.read_plan(settings), Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    if found.timed:
        figures.write_plan(settings)
    if options.json:
        hours = {workers: found.hours(workers) for workers in plan.WORKERS} if found.timed else None
        longest, size = (found.longest, found.size) if found.timed else (None, None)
        print_json({"models": len(found.needs), "bytes": size, "longest_hours": longest, "hours": hours})
    else:
        plan.show(found, console)


def _fanout(options: argparse.Namespace) -> int:
    from qdr.suite import config
    from qdr.suite.fanout.cluster import fan_out

    if options.workers < 1 or options.retries < 0 or options.gpus < 0:
        raise QdrError("--workers must be at least 1, --retries and --gpus at least 0")
    outcomes = fan_out(config.load(), options.workers, options.scheduler, options.retries, options.gpus)
    failed = [outcome for outcome in outcomes if outcome.failure]
    if len(failed) == len(outcomes):
        raise QdrError(f"none of {len(outcomes)} models was made: {failed[0].failure}")
    if failed:
        print(f"qdr: {len(failed)} of {len(outcomes)} models failed; the rest is done", file=sys.stderr)
    return bool(failed)
