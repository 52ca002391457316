"""Measurements run in processes of their own: a request goes in as JSON, the answer comes back as the last line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from qdr.errors import QdrError
from qdr.suite import paths


def ask(module: str, request: dict[str, Any], about: str) -> Any:
    """Run a module of this package in a process of its own; the request is its argument, its last line the answer.

    Raises:
        QdrError: when it fails, with its last line on stderr.
    """
    command = [sys.executable, "-m", module, json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=paths.project_root())
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise QdrError(f"{about} failed: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def answer(work: Callable[[dict[str, Any]], Any]) -> None:
    """The other end of `ask`: print what `work` makes of the request; a QdrError is one line on stderr."""
    try:
        print(json.dumps(work(json.loads(sys.argv[1]))))
    except QdrError as error:
        sys.exit(str(error))
