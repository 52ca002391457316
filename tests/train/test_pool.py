"""Several processes make the models that one makes; what fails or is killed takes nothing along."""

from __future__ import annotations

import dataclasses
import re
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import psutil
import pytest

from qdr.errors import QdrError
from qdr.suite import config, paths
from qdr.suite.detection.train import make_detector
from qdr.suite.train.plan import Run, plan, run_folder
from qdr.suite.train.pool import Extra, make_tasks

COMMAND = [sys.executable, "-m", "qdr.cli", "train"]
BLOCKS = {
    "w4a4": config.BlockConfig(["derain"], ["ptq", "qat", "qdr"], ["W4A4"], ["all"], [0]),
    "ablation": config.BlockConfig(["derain"], ["qdr-no-ldg"], ["W8A8"], ["all"], [0]),
}


def small(settings: config.Config, threads: int, steps: int = 30) -> config.Config:
    """Two teachers of rain and four models that learn from them."""
    fp32 = dataclasses.replace(settings.fp32, steps=steps)
    other = dataclasses.replace(settings.detect, source="voc")  # its detector is an empty folder
    return dataclasses.replace(settings, tasks=["derain"], blocks=BLOCKS, threads=threads, fp32=fp32, detect=other)


def made() -> dict[str, bytes]:
    """Every file of the finished models, by its path."""
    root = paths.project_root() / "work"
    files = [path for kind in ("teachers", "runs") for path in (root / kind).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_two_processes_make_what_one_makes(settings: config.Config, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beside = [Extra("detector", 1, make_detector)]
    make_tasks(small(settings, 1), ["derain"], beside)
    paths.detector().rmdir()
    said = sorted(re.findall(r"^qdr: (.*): \d+\.\d\d dB on validation images$", capsys.readouterr().err, re.MULTILINE))
    assert said == sorted(run.title for run in plan(small(settings, 1), "derain"))
    one = made()
    assert len(one) == 3 * len(plan(small(settings, 1), "derain"))
    stale = run_folder(Run("derain", "qat", "W8A8", "all", 0))
    stale.mkdir()
    shutil.rmtree(paths.project_root() / "work" / "store")
    make_tasks(small(settings, 2), ["derain"], beside)
    assert paths.detector().is_dir()
    assert len(re.findall(r" dB on validation images$", capsys.readouterr().err, re.MULTILINE)) == len(said)
    assert made() == one
    assert not stale.exists()


def test_a_failed_run_ends_the_others(settings: config.Config, pairs: Path, project: Path) -> None:
    methods = project / "methods.yaml"
    methods.write_text(methods.read_text().replace("model: efm-no-ldg}", "model: efm-no-ldgs}", 1))
    with pytest.raises(QdrError, match="unknown model 'efm-no-ldgs'"):
        make_tasks(small(settings, 2, steps=100_000), ["derain"])
    assert not made()
    assert not active_children(), "the process that made the other teacher has ended"


def write(project: Path, steps: int) -> None:
    """The same profile in params.yaml, for a command."""
    params = project / "params.yaml"
    text = params.read_text().replace("steps: 30,", f"steps: {steps},").replace("save_every: 500", "save_every: 10")
    text = text.replace("threads: 1", "threads: 2")
    text = text.replace("source: procedural, detectors: [centre]", "source: voc, detectors: [yolox_nano]")
    head, tail = text[: text.index("blocks:\n  finetune:")], text[text.index("search: {}") :]
    lines = [f"  {name}: {vars(block)}\n" for name, block in BLOCKS.items()]
    params.write_text(head.replace("tasks: [lowlight, dehaze, derain, denoise]", "tasks: [derain]", 1) + "blocks:\n")
    with params.open("a") as file:
        file.write("".join(lines).replace("'", "") + tail)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL", "a worker"])
def test_an_interrupted_pool_goes_on_to_the_same_bytes(project: Path, pairs: Path, how: str) -> None:
    write(project, 300)
    state = project / "work" / "unfinished"
    process = subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True)
    while len([path for path in state.glob("*.pt") if ".previous" not in path.name]) < 2:
        assert process.poll() is None, "the training ended before it saved anything"
        time.sleep(0.01)
    workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 2
    if how == "a worker":
        workers[0].kill()
    else:
        process.send_signal(signal.Signals[how])
    _, said = process.communicate(timeout=120)
    assert process.returncode == {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9, "a worker": 2}[how]
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive, "workers end with the command"
    assert how != "a worker" or "killed by SIGKILL; run the same command again to go on" in said
    assert list(state.glob("*.pt"))
    assert not made()

    subprocess.run(COMMAND, check=True, capture_output=True)
    assert not list(state.glob("*.pt"))
    resumed = made()
    shutil.rmtree(project / "work")
    subprocess.run(COMMAND, check=True, capture_output=True)
    assert made() == resumed
