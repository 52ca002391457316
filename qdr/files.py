"""Files read and written whole: text that is checked as it comes in, and targets that are replaced or left as they were."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdr.errors import QdrError

LARGEST = 2**26  # bytes; the largest file of results/ has less than 2**20


def read_text(path: Path, missing: str = "check the name", damaged: str = "get it again", largest: int = LARGEST) -> str:
    """The text of a file, line ends as they are; `missing` and `damaged` are the remedies.

    Raises:
        QdrError: when it is missing, no regular file, larger than `largest` bytes, or not UTF-8.
    """
    if not path.exists():
        raise QdrError(f"{path} does not exist: {missing}")
    if not path.is_file():
        raise QdrError(f"{path} is no file: {missing}")
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise QdrError(f"{path} cannot be read ({error.strerror}): check its permissions and the disk") from error
    if len(data) > largest:
        raise QdrError(f"{path} has more than {largest} bytes, which no such file has: {damaged}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise QdrError(f"{path} is not text in UTF-8 (byte {error.start}): {damaged}") from error


WRITE_ERRORS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` (file or folder) that replaces it only if the block ends well.

    A reader sees the old or the new content, never half of it.

    Raises:
        QdrError: when the folder cannot be written or the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(
            tempfile.mkdtemp(prefix=f".{target.name[:40]}.", dir=target.parent)
        )  # a name may have 255 bytes already
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        temporary = holder / target.name
        yield temporary
        _exchange(temporary, target, holder / "old")
    except QdrError:
        raise
    except OSError as error:
        if error.errno in WRITE_ERRORS:
            raise _unwritable(target, error) from error
        raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def check_writable(path: Path) -> None:
    """Refuse a folder into which no file, or a file that cannot be written; there or not yet.

    Raises:
        QdrError: with the system's reason.
    """
    first = path.parent if path.is_file() else path
    there = next(place for place in (first, *path.absolute().parents) if place.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(target: Path, error: OSError) -> QdrError:
    return QdrError(f"cannot write {target}: {error.strerror}; check permissions and free space, then run it again")


def _exchange(temporary: Path, target: Path, aside: Path) -> None:
    """Put `temporary` in the place of `target`; a folder, which cannot be replaced in one step, comes back if that fails."""
    if not target.is_dir() or target.is_symlink():
        os.replace(temporary, target)
        return
    target.rename(aside)
    try:
        os.replace(temporary, target)
    except BaseException:
        aside.rename(target)
        raise
