"""docs/jetson.md, followed to the letter: its commands run, and end in the tables."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path

import pytest

from qdr.cli import main
from qdr.suite import config
from qdr.suite.bench.kernels import write_kernels

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "jetson.md").read_text()
SUDO = '#!/bin/sh\nexec "$@"\n'


def commands(number: int) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[number].splitlines()


def test_the_page_is_true(
    active: config.Config, kit: Path, speed: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in commands(0):
        assert main(command.split()[1:]) == 0
    device = project / "elsewhere"
    device.mkdir()
    (project / "kit.tar.gz").rename(device / "kit.tar.gz")
    programs = kit.parent / "bin"
    (programs / "sudo").write_text(SUDO)
    (programs / "sudo").chmod(0o755)
    for command in commands(1):
        environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
        done = subprocess.run(command, shell=True, cwd=device, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (device / "qdr-jetson" / "result.json").rename(project / "result.json")
    monkeypatch.setattr("qdr.suite.report.figures.SPEED", {})  # it needs the quality of every task,
    monkeypatch.setattr("qdr.suite.report.results.Results.peers", None)  # and so does the table of peers
    take, report = commands(2)
    assert main(take.split()[1:]) == 0
    small = dataclasses.replace(active, model=config.ModelConfig([32, 32], [1, 1]))
    write_kernels(small, {"base": "efm"})
    assert main(report.split()[1:]) == 0
    written = {path.name for path in (project / "paper_tables" / "smoke" / "speed").iterdir()}
    assert {"jetson.md", "latency.md", "jetson-prediction.md", "jetson-442.md"} <= written


def test_it_names_the_rules_that_hold() -> None:
    from qdr.suite.jetson.bundle import RULES

    seconds = RULES["warm_up_ms"] // 1000
    assert f"{seconds} s of warm-up, then at least {RULES['duration_s']} s and {RULES['iterations']} calls" in PAGE
    assert "--stronglyTyped" in PAGE
