"""Room on the disk: asked for before a write, and said in plain words when it ends during one."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdr.errors import QdrError
from qdr.files import WRITE_ERRORS

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def size(count: float) -> str:
    """Bytes for people.

    >>> size(347_000_000), size(40), size(6.5 * 2**30)
    ('331 MiB', '40 bytes', '6.5 GiB')
    """
    if count < 2**20:
        return f"{count:.0f} bytes"
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def ensure_space(folder: Path, needed: int, what: str) -> None:
    """Raise `QdrError` when `what` does not fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise QdrError(
            f"{what} needs {size(needed)}, the disk of {folder} has {size(free)} free: make room and run it again"
        )


@contextmanager
def full_disk(what: str, remedy: str) -> Iterator[None]:
    """Turn "no space left" and "not allowed" inside the block into a line: what was being written, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in WRITE_ERRORS:
            reason = "the disk is full" if error.errno in _FULL else str(error.strerror)
            raise QdrError(f"{reason} while {what}: {remedy}") from error
        raise
