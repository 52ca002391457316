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

    def __post_init__(self) -> None:
        if not self.profiles:
            raise QdrError(f"{self.name}: no results/<profile>/quality.csv there: run `dvc repro`")

    def rows(self, folder: Path, name: str, schema: Schema, needed: set[str]) -> pd.DataFrame | None:
        """The rows of a CSV; None if the side has none, or none with the columns that are `needed`."""
        if not (folder / name).is_file():
            return None
        try:
            frame = load(folder / name, schema, foreign=True)
        except QdrError as error:
            raise self._renamed(error) from error
        lacks = [column for column in schema if column not in frame]
        note = f"{folder.name}/{name} lacks {', '.join(lacks)}" + (UNREAD if needed & set(lacks) else "")
        self.notes.extend([note] if lacks and note not in self.notes else [])
        return None if needed & set(lacks) else frame

    def record(self, folder: Path, name: str) -> dict[str, Any]:
        """A JSON object; empty if the side has none."""
        try:
            return read_json(folder / name) if (folder / name).is_file() else {}
        except QdrError as error:
            raise self._renamed(error) from error

    def _renamed(self, error: QdrError) -> QdrError:
        return QdrError(str(error).replace(f"{self.root}/", f"{self.name}:") if self.root else str(error))


def open_side(text: str, letter: str, stack: ExitStack) -> Side:
    """The side that a command line names; temporary files last as long as `stack`.

    Raises:
        QdrError: if it is neither a folder with results nor a revision that has some.
    """
    if text in (".", "worktree"):
        return Side(letter, "worktree", _profiles(paths.project_root() / "results"), str(paths.project_root()))
    folder = Path(text)
    found = _profiles(folder) or _profiles(folder / "results")
    if found:
        return Side(letter, text, found, single=folder in found.values())
    commit = _git(text, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}").decode().strip()
    root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    with tarfile.open(fileobj=io.BytesIO(_git(text, "archive", "--format=tar", commit, "results"))) as tar:
        for member in tar:
            at = PurePosixPath(member.name)
            wanted = member.isreg() and at.suffix in (".csv", ".json") and len(at.parts) == 3
            if wanted and (source := tar.extractfile(member)) is not None:
                root.joinpath(*at.parts).parent.mkdir(parents=True, exist_ok=True)
                root.joinpath(*at.parts).write_bytes(source.read())
    name = text if commit.startswith(text) else f"{text} ({commit[:7]})"
    return Side(letter, name, _profiles(root / "results"), str(root))


def _profiles(folder: Path) -> dict[str, Path]:
    if (folder / "quality.csv").is_file():
        return {folder.resolve().name: folder}
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/quality.csv"))}


def _git(text: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=paths.project_root(), capture_output=True)
    except FileNotFoundError as error:
        missing = "is not a folder with results, and git, which would look for a revision, is missing"
        raise QdrError(f"{text!r} {missing}") from error
    if done.returncode == 0:
        return done.stdout
    if arguments[0] == "archive":
        raise QdrError(f"revision {text} has no folder results/: name one that was committed with results")
    what = "neither a folder with results (quality.csv, or folders that hold one) nor"
    said = done.stderr.decode(errors="replace").strip()
    raise QdrError(f"{text!r} is {what} a git revision here{f' ({said})' if said else ''}: see `git log`, or `git fetch`")
