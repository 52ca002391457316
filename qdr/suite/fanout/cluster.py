"""Train a profile's cells on Dask workers; then `dvc repro` finds them finished.

Why Dask: it is a scheduler of graphs in plain Python that runs on one machine, over SSH, on Slurm (dask-jobqueue) and on
Kubernetes, gives the cells of a dead worker to another and allots resources. Ray does the same with more machinery, and
submitit knows Slurm only and no graph.

Why not many `dvc repro`: DVC locks the project while a stage runs. A cell instead runs `qdr train` for one model, which
leaves it in work/store under the fingerprint of all that determines it. Workers therefore share the project's folder; the
stage `train` of a later `dvc repro` copies from there. A cell that was killed goes on from its last
saved state; of two processes that make one model (the killed worker's, if it lives on, and the new one) the second waits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from qdr.errors import QdrError
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.train.order import chains
from qdr.suite.train.plan import Run, matrix, steps_of

GPU = "GPU"  # name of the resource that a worker offers: `dask worker --resources GPU=1`


@dataclass(frozen=True)
class Outcome:
    """How a cell went: seconds of its process, the worker's name, and the last line of its log where it failed."""

    run: Run
    seconds: float
    worker: str
    failure: str = ""


def fan_out(config: Config, workers: int, scheduler: str | None, retries: int, gpus: int = 0) -> list[Outcome]:
    """Train every cell of the profile, teachers before what learns from them.

    Args:
        config: the active profile.
        workers: processes on this machine, where no scheduler is given.
        scheduler: address of a running Dask scheduler whose workers see this folder at the same path.
        retries: how often a cell whose command failed is tried again, by the same worker. Cells of a worker that died are
            always given on.
        gpus: CUDA devices of this machine, dealt out to its workers in turn; with a scheduler, whether a cell needs a worker
            that offers `GPU`.

    Returns:
        One outcome per cell, in the order in which they ended. A cell fails alone, with those that need it.

    Raises:
        QdrError: when Dask is not installed, there are no pairs to train on, or the scheduler does not answer.
    """
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError as error:
        raise QdrError("the fan-out needs Dask: pip install 'qdr[fanout]'") from error
    missing = [folder for task in config.tasks if not (folder := paths.prepared(task, "train") / "input").is_dir()]
    if missing:
        raise QdrError(f"{missing[0]} is missing: make the pairs first, `dvc repro prepare`")
    root, needs = paths.project_root(), matrix(config)
    urgency = chains({run: float(steps_of(config, run)) for run in needs}, needs)
    with ExitStack() as stack:  # whatever happens, workers that were started here end here
        here = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        address = scheduler or stack.enter_context(LocalCluster(**here))
        try:
            client = stack.enter_context(Client(address, timeout=30))
        except OSError as error:
            raise QdrError(f"no Dask scheduler answers at {scheduler}: start one with `dask scheduler`") from error
        needed = {"resources": {GPU: 1}} if gpus and scheduler else {}
        futures: dict[Run, Any] = {}
        for run, teachers in needs.items():
            before = [futures[other] for other in teachers]
            futures[run] = client.submit(
                train, run, str(root), 0 if scheduler else gpus, retries, before,
                key=f"{run.task}/{run.name}", priority=int(urgency[run]), pure=False, **needed,
            )  # fmt: skip
        names, outcomes = {future.key: run for run, future in futures.items()}, []
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns) as bar:
            task = bar.add_task("cells", total=len(futures))
            for future in as_completed(futures.values()):
                outcomes.append(_outcome(names[future.key], future))
                bar.advance(task)
                if outcomes[-1].failure:
                    bar.console.print(f"{future.key} failed: {outcomes[-1].failure}", markup=False, highlight=False)
    return outcomes


def train(run: Run, root: str, gpus: int, retries: int, before: list[Outcome]) -> Outcome:
    """Make one model by the command that makes it everywhere, on a worker; its output goes to `log_file`.

    A command that fails is an outcome, not an exception, of which workers would print a traceback.
    """
    from distributed import get_worker

    worker = str(get_worker().name)
    if lost := [outcome.failure for outcome in before if outcome.failure]:
        return Outcome(run, 0.0, worker, lost[0])
    environment = dict(os.environ)
    if gpus and worker.isdigit():
        environment["CUDA_VISIBLE_DEVICES"] = str(int(worker) % gpus)
    command = [sys.executable, "-m", "qdr.cli", "train", run.task, run.method, "--bits", run.bits]
    command += ["--images", run.images, "--seed", str(run.seed)]
    log, begun = log_file(Path(root), run), time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(retries + 1):
        with log.open("ab") as output:
            done = subprocess.run(command, cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
        if not done.returncode:
            return Outcome(run, time.monotonic() - begun, worker)
    return Outcome(run, time.monotonic() - begun, worker, f"exit code {done.returncode}: {_last_line(log)} ({log})")


def log_file(root: Path, run: Run) -> Path:
    """Where a cell's output goes, the outputs of later attempts behind those of earlier ones."""
    return root / "work" / "logs" / run.task / f"{run.name}.log"


def _outcome(run: Run, future: Any) -> Outcome:
    if future.status == "finished":
        found: Outcome = future.result()
        return found
    return Outcome(run, 0.0, "", str(future.exception()))


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"
