"""Unpack an archive that nobody vouches for, and bring its images into the folders of this suite.

Refused before a byte is written: members that would leave the folder, links and devices, more members or bytes than any
set of images has, a compression that no photograph reaches, and what does not fit on the disk. Tar archives go through
Python's own "data" filter (PEP 706) besides. `arrange` then picks the images by the card's layout: every publisher has
another, and a stem must be equal on both sides of a pair.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from qdr.data.space import ensure_space, full_disk, size
from qdr.data.tasks import Layout
from qdr.errors import QdrError

MAX_UNPACKED = 200 * 2**30  # bytes
MAX_MEMBERS = 1_000_000  # RESIDE's OTS has 74196 images
MAX_RATIO = 100  # bytes out for a byte in; images reach 1 to 3

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError, NotImplementedError)
Member = tuple[str, bool, int]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into `folder`.

    Raises:
        QdrError: when it is broken, unsafe or too large; `folder` may then hold a part of it.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _inspect(archive, folder, ((m.filename, _is_link(m), m.file_size) for m in opened.infolist()))
                with full_disk(f"unpacking {archive.name}", "free space and run it again"):
                    opened.extractall(folder)
        elif not tarfile.is_tarfile(archive):
            raise QdrError(f"{archive} is no zip or tar archive, or not all of one: delete it and fetch it again")
        else:
            with tarfile.open(archive) as tar:
                _inspect(archive, folder, ((m.name, not (m.isreg() or m.isdir()), m.size) for m in tar))
                with full_disk(f"unpacking {archive.name}", "free space and run it again"):
                    tar.extractall(folder, filter="data")
    except _BROKEN as error:
        raise QdrError(f"{archive} cannot be unpacked ({error}): it is broken; delete it and fetch it again") from error


def _is_link(member: zipfile.ZipInfo) -> bool:
    return member.external_attr >> 28 == 0xA


def _inspect(archive: Path, folder: Path, members: Iterable[Member]) -> None:
    total, limit = 0, min(MAX_UNPACKED, MAX_RATIO * archive.stat().st_size)
    for number, (name, special, count) in enumerate(members, 1):
        path = PurePosixPath(name.replace("\\", "/"))
        if special or path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
            raise QdrError(f"{archive} holds an unsafe member {name!r}: it was not unpacked; delete it")
        total += count
        if total > limit or number > MAX_MEMBERS:
            found = f"{size(total)} or more, {number} members"
            raise QdrError(f"{archive} would unpack to {found}: it was not unpacked; delete it")
    folder.mkdir(parents=True, exist_ok=True)
    ensure_space(folder, total, f"unpacking {archive.name}")


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links; one clear image serves ten hazy ones."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def arrange(tree: Path, layout: Layout, folder: Path, place: Callable[[Path, Path], object] = link) -> None:
    """Place the images of `tree` that the layout names: in input/ and target/, or, without targets, in `folder` itself.

    Raises:
        QdrError: when no image matches, a target is missing or two images get one name.
    """
    found = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())
    inputs = folder / "input" if layout.target else folder
    for side in (inputs, folder / "target") if layout.target else (inputs,):
        side.mkdir(parents=True, exist_ok=True)
    matches = [match for match in (re.fullmatch(layout.input, name) for name in found) if match]
    if not matches:
        shown = f", such as {found[0]!r}," if found else ""
        raise QdrError(f"none of its {len(found)} files{shown} is where the manifest expects images: {layout.input!r}")
    for match in matches:
        name = match.expand(layout.name)
        _place(tree / match[0], inputs / f"{name}{Path(match[0]).suffix}", place)
        if layout.target:
            target = tree / match.expand(layout.target)
            if not target.is_file():
                raise QdrError(f"{match[0]} has no target {match.expand(layout.target)}: the copy is not complete")
            _place(target, folder / "target" / f"{name}{target.suffix}", place)


def _place(source: Path, target: Path, place: Callable[[Path, Path], object]) -> None:
    if target.exists():
        raise QdrError(f"{source.name} would be the second image named {target.name}: the layout in the manifest is wrong")
    place(source, target)
