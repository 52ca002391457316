"""Unpack an archive that nobody vouches for, and bring its images into the folders of this suite.

Refused before a byte is written: members that would leave the folder, links and devices, two members of one name, more
members or bytes than any set of images has, a compression that no photograph reaches, and what does not fit on the disk.
Tar archives go through Python's own "data" filter (PEP 706) besides, and their compressed stream is read in bounded pieces:
tarfile takes a long name or an extended header whole, so that a small file could make it fill the memory. `arrange` then
picks the images by the card's layout: every publisher has another, and a stem must be equal on both sides of a pair. It
also cuts off what is no part of them: a border, or the other image of a pair in one picture.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from qdr.errors import QdrError
from qdr.files import WRITE_ERRORS
from qdr.images.pairs import read_grey, read_image
from qdr.suite.data.space import ensure_space, full_disk, size
from qdr.suite.data.tasks import Layout

MAX_UNPACKED = 200 * 2**30  # bytes
MAX_MEMBERS = 1_000_000  # RESIDE's OTS has 74196 images
MAX_RATIO = 100  # bytes out for a byte in; images reach 1 to 3

BROKEN: tuple[type[Exception], ...] = (  # what the readers of archives raise
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError, NotImplementedError),
    *(OSError, ValueError, OverflowError),  # gzip's and bz2's; names the file system refuses; times out of range
)
_LARGEST_READ = 2**20  # bytes of a tar header, at most; members are copied in smaller pieces
_COMPRESSED: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
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
        else:
            with open_tar(archive) as tar:
                _inspect(archive, folder, ((m.name, not (m.isreg() or m.isdir()), m.size) for m in tar))
                with full_disk(f"unpacking {archive.name}", "free space and run it again"):
                    tar.extractall(folder, filter="data")
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno in WRITE_ERRORS:
            raise
        raise QdrError(f"{archive} cannot be unpacked ({error}): it is broken; delete it and fetch it again") from error


@contextmanager
def open_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    """A tar archive, plain or compressed, none of whose headers is read into memory whole if it is large.

    Raises:
        QdrError: when it is no tar archive from its first byte on.
    """
    with archive.open("rb") as file:
        start = file.read(6)
    opener = next((known for magic, known in _COMPRESSED.items() if start.startswith(magic)), None)
    with ExitStack() as stack:
        stream: Any = _BoundedReads(stack.enter_context(opener(archive) if opener else archive.open("rb")))
        try:
            tar = stack.enter_context(tarfile.open(fileobj=stream, mode="r:"))
        except (tarfile.ReadError, EOFError) as error:
            raise QdrError(f"{archive} is no zip or tar archive, or not all of one: delete it and fetch it again") from error
        yield tar


class _BoundedReads:
    """A stream that refuses reads of more than `_LARGEST_READ` bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, count: int) -> bytes:
        """The next bytes."""
        if count > _LARGEST_READ:
            raise tarfile.TarError(f"a header of {size(count)}")
        return self._stream.read(count)


def _is_link(member: zipfile.ZipInfo) -> bool:
    return member.external_attr >> 28 == 0xA


def _inspect(archive: Path, folder: Path, members: Iterable[Member]) -> None:
    seen: set[PurePosixPath] = set()
    total, limit = 0, min(MAX_UNPACKED, MAX_RATIO * archive.stat().st_size)
    for number, (name, special, count) in enumerate(members, 1):
        path = PurePosixPath(name.replace("\\", "/"))
        if special or path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
            raise QdrError(f"{archive} holds an unsafe member {name!r}: it was not unpacked; delete it")
        if path in seen:
            raise QdrError(f"{archive} holds two members named {name!r}: it was not unpacked; delete it")
        seen.add(path)
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
        QdrError: when no image matches, a target or a depth map is missing, a name to be left out is not there, or two
            images get one name.
    """
    found = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())
    inputs = folder / "input" if layout.target else folder
    for side in (inputs, folder / "target") if layout.target else (inputs,):
        side.mkdir(parents=True, exist_ok=True)
    matches = [match for match in (re.fullmatch(layout.input, name) for name in found) if match]
    if not matches:
        shown = f", such as {found[0]!r}," if found else ""
        raise QdrError(f"none of its {len(found)} files{shown} is where the manifest expects images: {layout.input!r}")
    named = [(match.expand(layout.name), match) for match in matches]
    if unknown := sorted(set(layout.without) - {name for name, _ in named}):
        raise QdrError(f"it has no {unknown[0]!r}, which the manifest leaves out: the copy is another one")
    edit = partial(_edit, layout=layout) if layout.edits else place
    for name, match in ((name, match) for name, match in named if name not in layout.without):
        _place(tree / match[0], inputs / f"{name}{'.png' if layout.edits else Path(match[0]).suffix}", edit)
        for kind, template in (("target", layout.target), ("depth map", layout.depth)):
            if not template:
                continue
            partner = tree / match.expand(template)
            if not partner.is_file():
                raise QdrError(f"{match[0]} has no {kind} {match.expand(template)}: the copy is not complete")
            if kind == "target":
                _place(partner, folder / "target" / f"{name}{'.png' if layout.edits else partner.suffix}", edit)
            else:
                _place(partner, inputs / f"{name}.depth.png", partial(_edit_depth, layout=layout))


def _edit(source: Path, target: Path, layout: Layout) -> None:
    _cut(Image.fromarray(read_image(source)), layout).save(target, compress_level=1)


def _edit_depth(source: Path, target: Path, layout: Layout) -> None:
    """Eight bits as sixteen, which a depth map has here."""
    depth = np.asarray(_cut(Image.fromarray(read_grey(source)), layout), np.uint16) * 257
    Image.fromarray(depth).save(target, compress_level=1)


def _cut(image: Image.Image, layout: Layout) -> Image.Image:
    width, height = image.size
    right = width // 2 if layout.left_half else width
    image = image.crop((layout.crop, layout.crop, right - layout.crop, height - layout.crop))
    return image.reduce(math.ceil(max(image.size) / layout.longest)) if layout.longest else image


def _place(source: Path, target: Path, place: Callable[[Path, Path], object]) -> None:
    if target.exists():
        raise QdrError(f"{source.name} would be the second image named {target.name}: the layout in the manifest is wrong")
    place(source, target)
