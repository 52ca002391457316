"""A training that a user interrupts, as a real process."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "qdr.cli", "train", "derain", "fp32"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_training_ends_with_the_same_bytes(project: Path, pairs: Path, how: signal.Signals) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("steps: 30,", "steps: 300,").replace("save_every: 500", "save_every: 20"))
    run, state = project / "work/teachers/derain/fp32-FP32-all-s0", project / "work/unfinished"

    process = subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not list(state.glob("*.pt")):
        assert process.poll() is None, "the training ended before it saved anything"
        time.sleep(0.01)
    process.send_signal(how)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in error
    assert list(state.glob("*.pt"))
    assert not run.exists()

    subprocess.run(COMMAND, check=True, capture_output=True)
    assert not list(state.glob("*.pt"))
    shutil.rmtree(project / "work/store")
    resumed = {path.name: path.read_bytes() for path in run.iterdir()}
    subprocess.run(COMMAND, check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == resumed
    assert set(resumed) == {"metrics.jsonl", "model.safetensors", "run.json"}
