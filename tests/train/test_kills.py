"""Thirty trainings killed at a random moment and started again: thirty times the same bytes.

`pytest tests/train/test_kills.py -m slow -s` prints what each kill cost.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qdr.suite import config, paths
from qdr.suite.train.checkpoint import read_state
from qdr.suite.train.plan import Run, run_folder
from qdr.suite.train.run import make

STEPS, SAVE, KILLS = 400, 10, 10
FP32 = Run("derain", "fp32", "FP32", "all", 0)
RUNS = (FP32, Run("derain", "qat", "W8A8", "all", 0), Run("derain", "qdr", "W4A4", "all", 0))


def finish_calibration(project: Path) -> None:
    """Lengthen the smoke profile's trainings and let them save often."""
    params = project / "params.yaml"
    text = params.read_text().replace("threads: 2", "threads: 1", 1)
    for before in ("steps: 30,", "steps: 10,"):
        text = text.replace(before, f"steps: {STEPS},")
    for before in ("save_every: 500", "save_every: 100"):
        text = text.replace(before, f"save_every: {SAVE}")
    params.write_text(text)


def start(run: Run) -> subprocess.Popen[bytes]:
    words = ["train", run.task, run.method, "--bits", run.bits]
    return subprocess.Popen([sys.executable, "-m", "qdr.cli", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(run: Run) -> tuple[dict[str, bytes], float]:
    """Every file of the run, and the seconds that the command took."""
    begun = time.monotonic()
    process = start(run)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()
    return {path.name: path.read_bytes() for path in sorted(run_folder(run).iterdir())}, time.monotonic() - begun


def forget(run: Run) -> None:
    """Let the run not have been made."""
    shutil.rmtree(run_folder(run), ignore_errors=True)
    for stored in (paths.project_root() / "work" / "store").iterdir():
        if json.loads((stored / "run.json").read_text())["run"]["method"] == run.method:
            shutil.rmtree(stored)


def kill(run: Run, after: float) -> bool:
    """Start a run and kill it after some seconds; False where it was done before."""
    process = start(run)
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return not run_folder(run).exists()
    return False


def saved() -> int:
    """The step of the newest state, 0 where none was saved."""
    states = [read_state(path) for path in (paths.project_root() / "work" / "unfinished").glob("*.pt")]
    return max((state["step"] for state in states if state), default=0)


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.method}-{run.bits}")
def test_killed_at_random_and_started_again_ends_with_the_same_bytes(project: Path, pairs: Path, run: Run) -> None:
    finish_calibration(project)
    if run != FP32:
        make(config.load(), FP32)
    whole, alone = finish(run)
    rng = random.Random(run.name)
    lost, killed = [], 0
    while killed < KILLS:
        forget(run)
        after = rng.uniform(0.2, 1.0) * alone
        if not kill(run, after):
            continue
        killed += 1
        at = saved()
        files, rest = finish(run)
        assert files == whole
        assert not list((paths.project_root() / "work" / "unfinished").glob("*.pt"))
        lost.append(after + rest - alone)
        print(f"{run.name}: killed after {after:.1f} of {alone:.1f} s, on from step {at} of {STEPS}, lost {lost[-1]:.1f} s")
    print(f"{run.name}: {killed} kills, {killed} equal ends, median loss {sorted(lost)[KILLS // 2]:.1f} s")
