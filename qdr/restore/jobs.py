"""What IN and OUT of `qdr restore` mean: a picture, a video, or a folder of both.

- picture to picture, video to video; where OUT is a folder, the file goes into it under its own name;
- folder to folder: every picture and video, sub-folders kept, in its own format. One that cannot be read is reported and the
  rest goes on. Hidden files and folders are not looked at; whatever else is not restored is named (`qdr.restore.walk`).

Nothing is written over without `force`, and the input never. A folder remembers what made its files (`RECORD`: checksums of
input and output, and the model), so that an interrupted job goes on, and another model's files are not taken for its own.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from qdr.errors import Interrupted, QdrError
from qdr.files import check_writable, replacing
from qdr.restore import pictures, tiles, video
from qdr.restore.restorer import Restorer
from qdr.restore.tiles import Pixels
from qdr.restore.walk import walk

Open = Callable[[], Restorer]
Advance = Callable[[float], None]
RECORD = ".qdr-restored.jsonl"


@dataclass
class Outcome:
    """What a job did.

    Args:
        restored: how many files were written.
        skipped: how many were there already, made by the same model from the same input.
        failed: files that could not be restored or are not whole, each with the reason.
        foreign: files of OUT that were left as they are, because something else made them, each with what is known.
        passed: files of IN that were passed over although they seem to be pictures or videos, each with the remedy.
        left: the other files of IN.
        notes: what an output does not hold of its input.
        videos: of each video frames and the mean change between them in grey levels, of the input and of the output.
        exact: whether no picture was cut that the model sees whole.
    """

    restored: int = 0
    skipped: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    foreign: list[tuple[Path, str]] = field(default_factory=list)
    passed: list[tuple[Path, str]] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    videos: list[tuple[Path, int, float, float]] = field(default_factory=list)
    exact: bool = True

    @property
    def whole(self) -> bool:
        """Whether everything that seems to be a picture or a video was restored."""
        return not (self.failed or self.foreign or self.passed)


def restore(
    source: Path, target: Path, open_model: Open, force: bool = False, made_by: Mapping[str, Any] | None = None
) -> Outcome:
    """Restore what `source` names to `target`. The model is opened once the names are known to make sense.

    Args:
        source: a picture, a video or a folder.
        target: of the same kind, or a folder.
        open_model: opens the model.
        force: whether to write over what `target` holds.
        made_by: what identifies the model, for the record of a folder.

    Raises:
        QdrError: when there is nothing to restore or it may not be written; in a folder for no single file.
    """
    with _terminable():
        if source.is_dir():
            return _folder(source, target, open_model, force, dict(made_by or {}))
        if not source.is_file():
            raise QdrError(f"{source} does not exist: name a picture, a folder or a video")
        if target.is_dir():
            target = target / source.name
        (video if video.is_video(source) else pictures).check_output(target)
        _check_apart(source, target)
        if target.exists() and not force:
            raise QdrError(f"{target} exists: name another file, or add --force to replace it")
        check_writable(target.parent)
        outcome = Outcome()
        picture = None if video.is_video(source) else pictures.read(source)
        with open_model() as model, _bar(source.name) as advance:
            _one(source, target, _watched(model, outcome), outcome, advance, picture, json.dumps(made_by))
        return outcome


def _folder(source: Path, target: Path, open_model: Open, force: bool, made_by: dict[str, Any]) -> Outcome:
    if target.exists() and not target.is_dir():
        raise QdrError(f"{target} is a file, but {source} is a folder: name a folder for the restored pictures")
    _check_apart(source, target)
    found = walk(source, target)
    outcome = Outcome(passed=found.passed, left=found.left)
    if not found.names and not found.passed:
        suffixes = ", ".join([*pictures.formats(), *video.SUFFIXES])
        raise QdrError(f"{source} holds no pictures or videos ({suffixes}), nor do its sub-folders")
    check_writable(target)
    record = _Record(target, made_by)
    left = [name for name in found.names if force or not (target / name).exists()]
    for name in sorted(set(found.names) - set(left)):
        if (foreign := record.foreign(name, source / name)) is not None:
            outcome.foreign.append((target / name, foreign))
            continue
        outcome.skipped += 1
        if reason := record.of(name).get("not_whole"):
            outcome.failed.append((source / name, reason))
    if not left:
        return outcome
    inputs = {(source / name).resolve() for name in found.names}
    with open_model() as model, _bar(source.name) as advance:
        for done, name in enumerate(left):
            try:
                _check_apart(source / name, target / name)
                if (target / name).resolve() in inputs:
                    raise QdrError(f"{target / name} is an input too, which is never overwritten: name another folder")
                _recorded(
                    record, source, name, target, _watched(model, outcome), outcome, _part_of(advance, done, len(left))
                )
            except QdrError as error:
                outcome.failed.append((source / name, str(error)))
            except OSError as error:
                outcome.failed.append((source / name, f"{error.filename or target / name}: {error.strerror}"))
            advance((done + 1) / len(left))
        return outcome


def _recorded(
    record: _Record, source: Path, name: Path, target: Path, model: Restorer, outcome: Outcome, advance: Advance
) -> None:
    """Restore one file of a folder. A picture is recorded before it gets its name, so that none is without its record."""
    if video.is_video(name):
        reason = _one(source / name, target / name, model, outcome, advance, None, record.key)
        record.add(name, source / name, target / name, reason)
        return
    with replacing(target / name) as temporary:
        _one(source / name, temporary, model, outcome, advance, pictures.read(source / name), "")
        record.add(name, source / name, temporary, "")


def _one(
    source: Path, target: Path, model: Any, outcome: Outcome, advance: Advance, picture: pictures.Picture | None, key: str
) -> str:
    """Restore a picture, or a video where there is none; returns why the output is not whole, or nothing."""
    reason = ""
    if picture is not None:
        notes = pictures.write(pictures.restored(picture, lambda pixels: model(pixels, advance)), target)
    else:
        made = video.restore_video(source, target, model, advance, key)
        notes = made.notes
        outcome.videos.append((target, made.frames, *made.change))
        if made.missing or made.damaged:
            count = f"holds {made.frames} of its {made.frames + made.missing} frames"
            what = count if made.missing else f"has damage in {made.damaged} of its {made.frames} frames"
            reason = f"{source} {what}; what there is was restored: copy it again"
            outcome.failed.append((source, reason))
    outcome.restored += 1
    outcome.notes += [(source, note) for note in notes]
    return reason


class _Record:
    """What made the files of a folder, a line of JSON each; the last one of a name counts."""

    def __init__(self, folder: Path, made_by: dict[str, Any]) -> None:
        self._path, self._by, self._rows = folder / RECORD, made_by, dict[str, dict[str, Any]]()
        self.key = json.dumps(made_by)
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    row = json.loads(line)
                    self._rows[row["file"]] = row
                except (ValueError, TypeError, KeyError):
                    continue  # a process was killed while it wrote this line

    def of(self, name: Path) -> dict[str, Any]:
        """The row of a file, empty where there is none."""
        return self._rows.get(name.as_posix(), {})

    def foreign(self, name: Path, source: Path) -> str | None:
        """What is known of a file that this model did not make from this input, None if it did."""
        row = self.of(name)
        if not row or row.get("made") != _digest(self._path.parent / name):
            return "made by something else"
        if row.get("by") != self._by:
            return f"made by {' '.join(str(value) for value in dict(row.get('by') or {}).values() if value)}"
        return None if row.get("from") == _digest(source) else "made from another input of this name"

    def add(self, name: Path, source: Path, made: Path, not_whole: str) -> None:
        """Note what a file, which may not have its name yet, was made of."""
        row = {
            "file": name.as_posix(),
            "from": _digest(source),
            "made": _digest(made),
            "by": self._by,
            "not_whole": not_whole,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _watched(model: Restorer, outcome: Outcome) -> Any:
    """The model, which notes when it is given a picture that it sees whole in tiles."""

    def call(pixels: Pixels, advance: Advance | None = None) -> Pixels:
        outcome.exact &= model.exact or not tiles.is_cut(model.tiling, *pixels.shape[:2])
        return model(pixels, advance) if advance is not None else model(pixels)

    return call


def _check_apart(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        raise QdrError(f"{target} is the input itself, which is never overwritten: name another one")


def _part_of(advance: Advance, done: int, count: int) -> Advance:
    return lambda share: advance((done + share) / count)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the job as Ctrl-C does: what is half written is deleted."""

    def stop(number: int, _: FrameType | None) -> None:
        raise Interrupted(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _bar(title: str) -> Iterator[Advance]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)
