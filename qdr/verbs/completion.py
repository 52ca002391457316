"""Completion for a shell: a static script, made by shtab from the parser.

shtab (Apache-2.0) reads argparse alone. What argparse does not know is added to a parser made for this: files are
completed where an argument is a path, and the names of profiles, tasks, methods and sources of the project that the
script is made in. Make it anew when those change.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from qdr.errors import QdrError


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script of a shell ("bash", "zsh" or "tcsh"); the parser's choices are changed."""
    import shtab

    names = _names()
    for action in _actions(parser):
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.choices is None and action.dest in names:
            action.choices = names[action.dest]
    return shtab.complete(parser, shell)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of all its verbs."""
    for action in parser._actions:
        yield action
        if isinstance(action.choices, dict):
            for verb in action.choices.values():
                yield from _actions(verb)


def _names() -> dict[str, list[str]]:
    """What may stand for an argument, by its name; outside a project only what the code knows."""
    from qdr.models import TASKS
    from qdr.runtimes.session import ENGINES, PRECISIONS
    from qdr.suite import config, methods, paths
    from qdr.suite.data.tasks import load_cards

    known = {"task": list(TASKS), "bits": list(config.BITS), "engine": list(ENGINES), "precision": list(PRECISIONS)}
    try:
        profiles = sorted(path.stem for path in (paths.project_root() / "profiles").glob("*.yaml"))
        trained = [name for name in methods.catalogue() if name != "input"]
        return known | {"name": profiles, "profile": profiles, "method": trained, "source": list(load_cards())}
    except QdrError:
        return known
