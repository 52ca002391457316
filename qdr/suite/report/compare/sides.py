"""Where the two sides of a comparison come from: a results folder, the working tree, or a git revision.

A revision's CSV and JSON files are read out of `git archive` into a temporary folder; index and working tree stay as they
are. Names that this version's catalogue does not know (a method since renamed) are let through: they are rows of one side.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from qdr.errors import QdrError
from qdr.rows import read_json
from qdr.suite import paths
from qdr.suite.report.load import Schema, load

WORKTREE = (".", "worktree")
UNREAD = ": it is not compared"  # how a note ends that says so of a file


@dataclass(frozen=True)
class Side:
    """One side: its results folders by profile.

    Args:
        letter: "A" or "B".
        name: how reports call it.
        profiles: folder by profile.
        root: the part of those paths that messages leave out; "" where they are the user's own.
        single: whether a single profile's folder was named.
        notes: what its files lack.
    """

    letter: str
    name: str
    profiles: dict[str, Path]
    root: str = ""
    single: bool = False
    notes: list[str] = field(default_factory=list)

    def rows(self, folder: Path, name: str, schema: Schema, *needed: str) -> pd.DataFrame | None:
        """The rows of a CSV; None if the side has none, or none with the columns that are `needed`."""
        if not (folder / name).is_file():
            return None
        try:
            frame = load(folder / name, schema, foreign=True)
        except QdrError as error:
            raise self._renamed(error) from error
        lacks = [column for column in schema if column not in frame]
        if not lacks:
            return frame
        vital = set(needed) & set(lacks)
        note = f"{folder.name}/{name} lacks {', '.join(lacks)}" + (UNREAD if vital else "")
        self.notes.extend([] if note in self.notes else [note])
        return None if vital else frame

    def record(self, folder: Path, name: str) -> dict[str, Any]:
        """A JSON object; empty if the side has none."""
        try:
            return read_json(folder / name) if (folder / name).is_file() else {}
        except QdrError as error:
            raise self._renamed(error) from error

    def _renamed(self, error: QdrError) -> QdrError:
        text = str(error)
        return QdrError(text.replace(f"{self.root}/", f"{self.name}:") if self.root else text)


def open_side(text: str, letter: str, stack: ExitStack) -> Side:
    """The side that a command line names; temporary files last as long as `stack`.

    Raises:
        QdrError: if it is neither a folder with results nor a revision that has some.
    """
    if text in WORKTREE:
        folder = paths.project_root() / "results"
        return Side(letter, "worktree", _required(folder, text), str(paths.project_root()))
    folder = Path(text)
    found = _profiles(folder) or _profiles(folder / "results")
    if found:
        return Side(letter, text, found, single=folder in found.values())
    return _revision(text, letter, stack)


def _profiles(folder: Path) -> dict[str, Path]:
    if (folder / "quality.csv").is_file():
        return {folder.resolve().name: folder}
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/quality.csv"))}


def _required(folder: Path, text: str) -> dict[str, Path]:
    found = _profiles(folder)
    if not found:
        raise QdrError(f"{text}: no results/<profile>/quality.csv there: run `dvc repro`")
    return found


def _revision(text: str, letter: str, stack: ExitStack) -> Side:
    """The results of a commit, in a temporary folder."""
    commit = _git(text, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}").decode().strip()
    archive = _git(text, "archive", "--format=tar", commit, "results")
    root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            wanted = member.isreg() and name.suffix in (".csv", ".json") and len(name.parts) == 3
            if wanted and (source := tar.extractfile(member)) is not None:
                target = root.joinpath(*name.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read())
    shown = text if commit.startswith(text) else f"{text} ({commit[:7]})"
    return Side(letter, shown, _required(root / "results", text), str(root))


def _git(text: str, *arguments: str) -> bytes:
    what = "neither a folder with results (quality.csv, or folders that hold one) nor"
    try:
        done = subprocess.run(["git", *arguments], cwd=paths.project_root(), capture_output=True)
    except FileNotFoundError as error:
        raise QdrError(
            f"{text!r} is not a folder with results, and git, which would look for a revision, is missing"
        ) from error
    if done.returncode == 0:
        return done.stdout
    if arguments[0] == "archive":
        raise QdrError(f"revision {text} has no folder results/: name one that was committed with results")
    said = done.stderr.decode(errors="replace").strip()
    raise QdrError(f"{text!r} is {what} a git revision here{f' ({said})' if said else ''}: see `git log`, or `git fetch`")
