"""The workflow files can be read, and call what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from qdr.cli import parser

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_step_calls_a_target_or_a_script_that_exists(path: Path) -> None:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    makefile = (ROOT / "Makefile").read_text()
    assert commands
    for command in commands:
        for target in re.findall(r"\bmake (\w+)", command):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        if command.startswith(".venv/bin/qdr "):
            parser().parse_args(command.removeprefix(".venv/bin/qdr ").partition(">>")[0].split())
        elif command.startswith("."):
            assert (ROOT / command).stat().st_mode & 0o100, f"{command} is not executable"
