"""What IN and OUT of `qdr restore` mean: a picture, a folder of pictures, or a video.

- picture to picture; where OUT is a folder, the picture goes into it under its own name;
- folder to folder: every picture, sub-folders kept, in its own format. What OUT already holds is skipped, so that an
  interrupted job resumes; a picture that cannot be read is reported and the rest goes on;
- video to video.

Nothing is written over without `force`, and the input never.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from qdr.errors import QdrError
from qdr.restore import pictures, video
from qdr.restore.restorer import Restorer

Open = Callable[[], Restorer]


@dataclass(frozen=True)
class Outcome:
    """What a job did: files restored and skipped, and of each failure file and reason."""

    restored: int = 0
    skipped: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    exact: bool = True


def restore(source: Path, target: Path, open_model: Open, force: bool = False) -> Outcome:
    """Restore what `source` names to `target`. The model is opened once the names are known to make sense.

    Raises:
        QdrError: when there is nothing to restore or it may not be written; in a folder for no single file.
    """
    if source.is_dir():
        return _folder(source, target, open_model, force)
    if not source.is_file():
        raise QdrError(f"{source} does not exist: name a picture, a folder or a video")
    if target.is_dir():
        target = target / source.name
    moving = video.is_video(source)
    (video if moving else pictures).check_output(target)
    _check_apart(source, target)
    if target.exists() and not force:
        raise QdrError(f"{target} exists: name another file, or add --force to replace it")
    picture = None if moving else pictures.read(source)
    with open_model() as model, _bar(source.name) as advance:
        if picture is None:
            video.restore_video(source, target, model, advance)
        else:
            pictures.write(replace(picture, pixels=model(picture.pixels, advance)), target)
        return Outcome(1, exact=model.exact)


def _folder(source: Path, target: Path, open_model: Open, force: bool) -> Outcome:
    if target.exists() and not target.is_dir():
        raise QdrError(f"{target} is a file, but {source} is a folder: name a folder for the restored pictures")
    _check_apart(source, target)
    names = sorted(_pictures(source, target))
    if not names:
        raise QdrError(f"{source} holds no pictures ({', '.join(pictures.FORMATS)}), nor do its sub-folders")
    left = [name for name in names if force or not (target / name).exists()]
    if not left:
        return Outcome(skipped=len(names))
    failed: list[tuple[Path, str]] = []
    with open_model() as model, _bar(source.name) as advance:
        for done, name in enumerate(left, 1):
            try:
                _check_apart(source / name, target / name)
                picture = pictures.read(source / name)
                pictures.write(replace(picture, pixels=model(picture.pixels)), target / name)
            except QdrError as error:
                failed.append((source / name, str(error)))
            advance(done / len(left))
        return Outcome(len(left) - len(failed), len(names) - len(left), failed, model.exact)


def _check_apart(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        raise QdrError(f"{target} is the input itself, which is never overwritten: name another one")


def _pictures(source: Path, target: Path) -> Iterator[Path]:
    """Pictures below `source` relative to it, without hidden folders and without `target` if it lies inside."""
    inside = target.resolve()
    for path in source.rglob("*"):
        name = path.relative_to(source)
        hidden = any(part.startswith(".") for part in name.parts)
        if pictures.is_picture(path) and path.is_file() and not hidden and inside not in path.resolve().parents:
            yield name


@contextmanager
def _bar(title: str) -> Iterator[Callable[[float], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)
