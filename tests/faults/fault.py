"""What a fault is, and the places it can be put in."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
Inject = Callable[[Path], object]
Act = tuple[str, ...] | Callable[[], object]


@dataclass(frozen=True)
class Fault:
    """A fault, injected for real.

    Args:
        name: of the test.
        what: what is injected, for the page.
        inject: does it, in a project's folder, which is also the working directory.
        act: arguments of `qdr`, or a call where no verb reaches that code alone.
        said: a part of the one line that must come.
        lost: for the page: what there is afterwards. Tested: every file is as it was, but for `new`.
        new: patterns of files that may appear.
        disk: where the project is: "" (roomy), "full" (1 MiB that fill up) or "read-only".
    """

    name: str
    what: str
    inject: Inject
    act: Act
    said: str
    lost: str = "nothing"
    new: tuple[str, ...] = ()
    disk: str = ""

    @property
    def command(self) -> str:
        """How the page calls what was done."""
        return f"`qdr {' '.join(self.act)}`" if isinstance(self.act, tuple) else str(self.act.__doc__)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """`folder` has room for 1 MiB: a file system of its own where that is allowed, else no file may grow beyond it."""
    with _mounted(folder, f"size={MIB}") as done:
        if done:
            yield
            return
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written below `folder`: mounted so where that is allowed, else by its permissions."""
    mounted = subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode == 0
    if mounted:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    folders = [] if mounted else [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        yield
    finally:
        for path in folders:
            path.chmod(0o755)
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[bool]:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    try:
        done = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        done = False
    try:
        yield done
    finally:
        if done:  # lazily: a writer in C++ that failed keeps its file open
            subprocess.run(["umount", "--lazy", folder], check=True)
