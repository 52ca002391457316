"""The one error a user can cause: a clear line, no traceback.

Every check of user input (a file, a key, a name, an image, a missing extra) raises `QdrError` with one sentence that
names what was wrong and what to do. `qdr.cli` prints that sentence and exits with code 2; `QDR_TRACEBACK=1` shows the
traceback. Anything else that escapes is a defect of qdr and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QdrError(Exception):
    """A mistake in the input or the environment, with its remedy, on one line.

    What cannot be printed (line ends, a terminal's commands) is escaped: messages quote what came in.

    >>> print(QdrError("unknown key 'a\\nb\\x1b[31m'"))
    unknown key 'a\\nb\\x1b[31m'
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in message))


class Interrupted(KeyboardInterrupt):
    """A signal ended the work, which was saved: the same command goes on."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


def nearest(name: str, valid: Iterable[str]) -> str:
    """Describe the valid choices for `name`, the nearest first.

    >>> nearest("derian", ["derain", "dehaze"])
    "did you mean 'derain'? valid: dehaze, derain"
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}valid: {', '.join(names)}"


def check_choice(kind: str, name: str, valid: Iterable[str]) -> str:
    """Return `name` if it is one of `valid`, else raise `QdrError` naming the nearest valid one."""
    names = list(valid)
    if name not in names:
        raise QdrError(f"unknown {kind} {name!r}: {nearest(name, names)}")
    return name
