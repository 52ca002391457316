"""Make a graph of models in several processes of one torch thread each, teachers before what starts from them.

Why not one process of several threads: these networks have many small operations, between which OpenMP's threads wait for
one another. On two AVX-512 cores two processes of one thread make 1.4 to 1.9 times as many steps per second as one of two
threads; a neighbour that takes half a core costs what it takes and not, through barriers, four to ten times that; and the
bits do not depend on the number of processes.

Processes are asked to stop by SIGTERM, once, and by this process alone (they are a group of their own, which Ctrl-C in a
terminal does not reach): on a signal, when one of them fails, when one was killed. Each ends the step it is in, saves and
leaves. So do they when this process dies. The same command goes on from there.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from types import TracebackType

from qdr.errors import Interrupted, QdrError
from qdr.rows import read_lines
from qdr.suite.config import Config
from qdr.suite.train import stop
from qdr.suite.train.display import Display, Show
from qdr.suite.train.order import Ready
from qdr.suite.train.plan import Run, graph, plan, run_folder, steps_of

SHOWN = 0.25  # seconds between two messages of a model's progress
LOOK = 0.5  # seconds between two looks at the signals
# glibc gives the memory of large tensors back to the system, which zeroes it page by page for the next: here it is kept, in
# huge pages, with the same bits and a seventh of the page faults. Read when a process starts; other systems ignore it.
MEMORY = "glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=4000000000:glibc.malloc.mmap_threshold=1000000000"


@dataclass(frozen=True)
class Extra:
    """Work beside the models, which needs none of them: a worker calls `make`, a function that pickles."""

    title: str
    steps: int
    make: Callable[[Config, Show], None]


Job = Run | Extra


def make_tasks(config: Config, tasks: Iterable[str], extra: Sequence[Extra] = ()) -> None:
    """Make every model of these tasks' plans and the work beside them, and remove what is there of others."""
    planned = [run for task in tasks for run in plan(config, task)]
    make_all(config, planned, extra)
    made = {run_folder(run) for run in planned}
    if os.environ.get("RANK", "0") == "0":
        for stale in {path for folder in made for path in folder.parent.iterdir()} - made:
            shutil.rmtree(stale)


def make_all(config: Config, runs: Iterable[Run], extra: Sequence[Extra] = ()) -> None:
    """Make runs and the teachers that they need; each ends in its folder.

    With `threads: 1`, and under torchrun, whose processes train each model together, one after the other in this process.

    Raises:
        QdrError: where a run fails, after the others have saved what they were at.
        Interrupted: on a signal, likewise.
    """
    needs = graph(runs)
    if config.threads > 1 and "WORLD_SIZE" not in os.environ:
        jobs: dict[Job, Sequence[Job]] = dict.fromkeys(extra, ())
        jobs.update(needs.items())
        return _side_by_side(config, jobs)
    from qdr import ranks
    from qdr.suite.train.run import make

    with ranks.together(), Display() as display:
        for run in needs:
            make(config, run, display.show)
            display.made(run.title, final_psnr(run))
        for work in extra if ranks.rank() == 0 else ():
            work.make(config, display.show)


def make_one(config: Config, run: Run) -> None:
    """Make one run, in this process; its teachers are there already."""
    from qdr.suite.train.run import make

    with Display() as display:
        make(config, run, display.show)
        display.made(run.title, final_psnr(run))


def final_psnr(run: Job) -> float | None:
    """PSNR in dB on validation images at the end of a finished run; None where none was measured, or by another process."""
    if isinstance(run, Extra):
        return None
    path = run_folder(run) / "metrics.jsonl"
    return read_lines(path)[-1].get("val_psnr") if path.is_file() else None


def _side_by_side(config: Config, needs: Mapping[Job, Sequence[Job]]) -> None:
    steps = {job: float(job.steps if isinstance(job, Extra) else steps_of(config, job)) for job in needs}
    ready, failure = Ready(steps, needs), ""
    os.environ.setdefault("GLIBC_TUNABLES", MEMORY)  # of the workers
    with stop.watched() as stopped, Display(len(needs)) as display, ExitStack() as stack:
        workers = [stack.enter_context(_Worker(config)) for _ in range(min(config.threads, len(needs)))]
        while not stopped.signal and not failure and (ready or any(worker.run for worker in workers)):
            for worker in workers:
                if ready and worker.run is None:
                    worker.begin(ready.take())
            spoke = wait([worker.connection for worker in workers], LOOK)
            for worker in [worker for worker in workers if worker.connection in spoke]:
                message = worker.listen()
                if isinstance(message, _At):
                    display.show(message.title, message.step, message.steps)
                elif isinstance(message, Run | Extra):
                    display.made(message.title, final_psnr(message))
                    ready.done(message)
                else:
                    failure = failure or message
    if stopped.signal:
        raise Interrupted(stopped.signal)
    if failure:
        raise QdrError(failure)


@dataclass(frozen=True)
class _At:
    """How far a model is."""

    title: str
    step: int
    steps: int


class _Worker:
    """A process that makes one run after the other, and this one's end of the line to it."""

    def __init__(self, config: Config) -> None:
        self.run: Job | None = None
        self.connection, other = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_work, args=(config, other), daemon=True)
        self._process.start()
        other.close()

    def begin(self, run: Job) -> None:
        """Give it a run to make."""
        self.run = run
        with suppress(BrokenPipeError):  # it has died: `listen` says so
            self.connection.send(run)

    def listen(self) -> _At | Job | str:
        """What it says: how far it is, the run that it has made, or why it failed."""
        try:
            message: _At | Job | str = self.connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode or 0
            message = f"killed by {signal.Signals(-code).name}" if code < 0 else f"its process ended with exit code {code}"
            message = f"{self.run.title if self.run else 'a worker'}: {message}; run the same command again to go on"
        if isinstance(message, Run | Extra):
            self.run = None
        return message

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it; what it is at is saved first."""
        if self.run is None:
            self.connection.close()
        else:
            self._process.terminate()
        self._process.join()
        self.connection.close()


def _work(config: Config, connection: Connection) -> None:
    """Make the runs that come over the line until it is closed."""
    os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from qdr.suite.train.run import make

    said = 0.0

    def show(title: str, step: int, steps: int) -> None:
        nonlocal said
        if time.monotonic() - said >= SHOWN:
            said = time.monotonic()
            connection.send(_At(title, step, steps))

    while True:
        try:
            run = connection.recv()
            if isinstance(run, Extra):
                run.make(config, show)
            else:
                make(config, run, show)
            connection.send(run)
        except QdrError as error:
            connection.send(str(error))
        except (EOFError, ConnectionError):
            return
        except Interrupted as error:
            sys.exit(128 + error.signal)


def _end_with_parent() -> None:
    """Ask this process to stop when the one that started it is gone."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
