"""Who made these figures: revision, versions, machine and seeds, recorded beside every result.

No host name, user name, path or time of day: two runs on one machine give the same record.
"""

from __future__ import annotations

import subprocess
from typing import Any

from qdr.machine import processor, versions
from qdr.suite import paths


def collect(profile: str, seeds: list[int], threads: int) -> dict[str, Any]:
    """The record of a set of results; revision and changes are None where the project is no git repository."""
    import torch

    changes = _git("status", "--porcelain", "--untracked-files=no", "--", "qdr", "params.yaml")
    return {
        "profile": profile,
        "seeds": seeds,
        "threads": threads,
        "git_revision": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "versions": {name: number for name, number in versions().items() if name != "qdr"},
        "capability": torch.backends.cpu.get_cpu_capability(),
        "deterministic": True,
    } | processor()


def _git(*arguments: str) -> str | None:
    """What git says of the project; None without git or a repository, also where one merely lies around the project."""
    root = paths.project_root()
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
