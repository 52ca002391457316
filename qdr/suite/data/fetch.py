"""Fetch a source of images, check it, and put it in its place whole or not at all.

Four origins (see `qdr.suite.data.tasks.Card`): files inside installed packages, a local folder of research data, an archive,
single files. What comes over the network is checked by sha256 before it is read, where a checksum is known; every image
is decoded once, counted, and its pair has its size; the folder's own checksum is compared with the one that is pinned or
was recorded. A licence that is not free is accepted by the person who downloads, never by default; who holds the data in
a folder has done so.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from qdr import files
from qdr.errors import QdrError
from qdr.images.pairs import images_in, match, read_image, read_pair
from qdr.suite import paths
from qdr.suite.data.archive import arrange, unpack
from qdr.suite.data.download import download
from qdr.suite.data.records import expect, remember, sha256, tree_digest
from qdr.suite.data.tasks import Card, card
from qdr.suite.data.wheels import from_wheels


def fetch(source: str, accepted: bool = False) -> Path:
    """Make data/raw/<source> and return it; `accepted`: the user accepts the licence.

    Raises:
        QdrError: when the licence is not accepted, or something is missing, has another checksum, is unsafe or no image.
    """
    entry = card(source)
    target = paths.raw(source)
    with files.replacing(target) as folder:
        folder.mkdir()
        if entry.origin == "wheels":
            whence = "installed packages"
            from_wheels(entry, folder)
        elif entry.origin == "folder":
            whence = entry.folder
            from_folder(source, entry, local_folder(source, entry), folder)
        elif entry.origin == "archive":
            whence = _from_archive(source, entry, folder, accepted)
        else:
            whence = entry.urls[0]
            _from_files(source, entry, folder, accepted)
        check(source, entry, folder)
        remember(source, entry, folder, whence)
    return target


def check(source: str, entry: Card, folder: Path) -> None:
    """Decode every image of a folder; compare number, sizes and pairing with the card.

    Raises:
        QdrError: naming the first image that is not as the card says.
    """
    try:
        _check(entry, folder)
    except QdrError as error:
        shown = str(error).replace(f"{folder}/", "").replace(str(folder), "the copy")
        shown = shown.removesuffix(": fetch or make it again")
        raise QdrError(f"source {source!r}: {shown}: delete this copy and get another, see {entry.homepage}") from error


def _check(entry: Card, folder: Path) -> None:
    if entry.kind == "clean":
        units = [[path] for path in images_in(folder).values()]
    else:
        units = [[degraded, target] for _, degraded, target in match(folder)]
    if len(units) != entry.count:
        raise QdrError(f"it holds {len(units)} {entry.kind}, the manifest says {entry.count}")
    for unit in units:
        first = read_pair(unit[0].stem, *unit)[0] if len(unit) == 2 else read_image(unit[0])
        height, width = first.shape[:2]
        if entry.size and entry.size not in (f"{width}x{height}", f"{height}x{width}"):
            raise QdrError(f"{unit[0].name} is {width}x{height}, the manifest says {entry.size}")


def local_folder(source: str, entry: Card) -> Path:
    """The folder below QDR_DATA that holds a source."""
    base = os.environ.get("QDR_DATA")
    if not base:
        raise QdrError(f"source {source!r} needs the environment variable QDR_DATA: the folder that holds {entry.folder}")
    origin = Path(base) / entry.folder
    if not origin.is_dir():
        raise QdrError(f"source {source!r}: QDR_DATA has no folder {entry.folder}; it is described at {entry.homepage}")
    return origin


def from_folder(source: str, entry: Card, origin: Path, folder: Path) -> None:
    """Write a checked folder of research data to `folder`, as it is or as the card's layout says."""
    left_out = f"; {len(entry.layout.without)} left out: {entry.note}" if entry.layout.without else ""
    print(f"{source}: {entry.licence}; {entry.homepage}{left_out}")
    expect(tree_digest(origin), entry.sha256, entry.folder, "its content differs from what was measured; copy it again")
    if not entry.arranged:
        shutil.copytree(origin, folder, dirs_exist_ok=True)
        return
    try:
        arrange(origin, entry.layout, folder, shutil.copyfile)
    except QdrError as error:
        raise QdrError(f"{entry.folder}: {error}") from error


def _from_archive(source: str, entry: Card, folder: Path, accepted: bool) -> str:
    archive = paths.downloads() / entry.archive
    whence = "placed by hand"
    if not archive.is_file():
        if not entry.urls:
            raise QdrError(
                f"source {source!r} has no direct download: get it from {entry.homepage} and put it at {archive}, "
                f"or unpack it and run `qdr data add {source} FOLDER`"
            )
        _ensure_accepted(source, entry, accepted)
        whence = download(entry.urls, archive, entry.sha256)
    print(f"{source}: {entry.licence}; {entry.homepage}")
    if entry.sha256:
        expect(sha256(archive), entry.sha256, str(archive), "delete the file and fetch it again")
    if not entry.layout.input:
        unpack(archive, folder)
        return whence
    unpacked = folder.with_name("unpacked")
    unpack(archive, unpacked)
    try:
        arrange(unpacked, entry.layout, folder)
    except QdrError as error:
        raise QdrError(f"{archive}: {error}") from error
    return whence


def _from_files(source: str, entry: Card, folder: Path, accepted: bool) -> None:
    _ensure_accepted(source, entry, accepted)
    print(f"{source}: {entry.licence}; {entry.homepage}")
    for name, digest in entry.files.items():
        held = paths.downloads() / source / name
        if not held.is_file() or sha256(held) != digest:
            download([f"{base}{name}" for base in entry.urls], held, digest)
        shutil.copyfile(held, folder / name)


def _ensure_accepted(source: str, entry: Card, accepted: bool) -> None:
    words = os.environ.get("QDR_ACCEPT", "").replace(",", " ").split()
    if entry.terms != "free" and not accepted and entry.terms not in words:
        raise QdrError(
            f"source {source!r} is {entry.terms} (licence: {entry.licence}; forbidden: {entry.forbids}): to accept that, "
            f"run `qdr fetch {source} --accept` or set QDR_ACCEPT={entry.terms}"
        )
