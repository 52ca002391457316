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
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    parts = [part for job in jobs for part in job.get("strategy", {}).get("matrix", {}).get("include", [])]
    lines = [
        line
        for step in (*parts, *(step for job in jobs for step in job["steps"]))
        for line in step.get("run", "").split("\n")
    ]
    makefile = (ROOT / "Makefile").read_text()
    targets = [target for line in lines for call in re.findall(r"\bmake ((?: ?[a-z-]+)+)", line) for target in call.split()]
    assert targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
    for line in lines:
        if line.startswith(".venv/bin/qdr "):
            parser().parse_args(line.removeprefix(".venv/bin/qdr ").partition(">>")[0].split())
