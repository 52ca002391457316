"""Two workers on this machine: what they make is what one process makes, also when a worker dies."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import psutil
import pytest

from qdr.cli import main
from qdr.suite import config, paths
from qdr.suite.fanout.cluster import fan_out, log_file
from qdr.suite.train.plan import Run, matrix, teacher
from qdr.suite.train.pool import make_tasks

BLOCKS = """blocks:
  w4a4: {tasks: [derain], methods: [ptq, qat, qdr], bits: [W4A4], images: [all], seeds: [0]}
  ablation: {tasks: [derain], methods: [qdr-no-ldg], bits: [W8A8], images: [all], seeds: [0]}
"""


@pytest.fixture
def tiny(project: Path, pairs: Path) -> config.Config:
    """One task: two teachers of 60 steps, saved every 5, and four models that learn from them."""
    params = project / "params.yaml"
    text = params.read_text().replace("threads: 2", "threads: 1", 1)
    text = text.replace("steps: 30,", "steps: 60,").replace("save_every: 500", "save_every: 5")
    head, tail = text[: text.index("blocks:\n  finetune:")], text[text.index("search: {}") :]
    head = head.replace("tasks: [lowlight, dehaze, derain, denoise]", "tasks: [derain]", 1)
    params.write_text(head + BLOCKS + tail)
    return config.load()


def made() -> dict[str, bytes]:
    """Every file of the finished models, by its path."""
    root = paths.project_root() / "work"
    files = [path for kind in ("teachers", "runs") for path in (root / kind).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def serially(settings: config.Config) -> dict[str, bytes]:
    make_tasks(settings, ["derain"])
    found = made()
    shutil.rmtree(paths.project_root() / "work")
    return found


def test_without_pairs_nothing_is_started(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fanout", "--workers", "2"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith("train/input is missing: make the pairs first, `dvc repro prepare`")
    assert not (project / "work").exists()


@pytest.mark.slow
def test_two_workers_make_what_one_process_makes(tiny: config.Config) -> None:
    whole = serially(tiny)
    outcomes = fan_out(tiny, workers=2, scheduler=None, retries=0)
    assert {outcome.run for outcome in outcomes} == set(matrix(tiny))
    assert not any(outcome.failure for outcome in outcomes)
    assert made() == whole
    for outcome in outcomes:
        assert log_file(paths.project_root(), outcome.run).is_file()


@pytest.mark.slow
def test_the_cell_of_a_killed_worker_is_made_by_another_and_is_equal(tiny: config.Config) -> None:
    whole = serially(tiny)
    killed: list[int] = []

    def kill() -> None:
        """Once the teacher has saved a state, kill the worker that makes it, and its command."""
        waiting = paths.project_root() / "work" / "unfinished"
        while not list(waiting.glob("*.pt")):
            time.sleep(0.01)
        for process in psutil.Process().children(recursive=True):
            if "qdr.cli" in process.cmdline():
                worker = process.parent()
                assert worker is not None
                worker.kill()
                process.kill()
                killed.append(process.pid)
                return

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = fan_out(tiny, workers=2, scheduler=None, retries=0)
    killer.join()
    assert killed
    assert not any(outcome.failure for outcome in outcomes)
    assert made() == whole


@pytest.mark.slow
def test_a_cell_that_fails_takes_along_only_those_that_need_it(tiny: config.Config, project: Path) -> None:
    qdr = Run("derain", "qdr", "W4A4", "all", 0)
    no_gates = teacher("derain", "fp32-no-ldg")
    (project / "methods.yaml").write_text(
        (project / "methods.yaml").read_text().replace("model: efm-no-ldg}", "model: efm-no-ldgs}", 1)
    )
    failed = {outcome.run: outcome.failure for outcome in fan_out(tiny, workers=2, scheduler=None, retries=0)}
    assert not failed[qdr]
    assert "efm-no-ldgs" in failed[no_gates]
    assert failed[Run("derain", "qdr-no-ldg", "W8A8", "all", 0)] == failed[no_gates]
    assert sum(bool(failure) for failure in failed.values()) == 2
