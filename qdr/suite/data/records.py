"""Checksums: of files, of folders, and those that the first fetch of a source records.

A publisher who gives no checksum still publishes the same images: data/hashes.json remembers, per source, the checksum of
the folder as it was first fetched or added, and later ones must match. It is of the folder and not of the archive, so
that a mirror may pack the same images otherwise. Commit the file to share what was seen; delete an entry to accept a new
edition.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from qdr.errors import QdrError
from qdr.rows import read_json, write_json
from qdr.suite import paths
from qdr.suite.data.tasks import Card


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expect(found: str, stated: str, what: str, remedy: str) -> None:
    """Raise `QdrError` when `what` has another checksum than the manifest states."""
    if found != stated:
        raise QdrError(f"{what} has sha256 {found[:12]}..., the manifest says {stated[:12]}...: {remedy}")


def tree_digest(folder: Path) -> str:
    """Checksum of a folder: sha256 over the lines `<sha256>  <relative path>` of its files, sorted by path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = (f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in found)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def expected_digest(source: str, entry: Card) -> str:
    """What the folder's checksum must be: pinned on the card, or recorded; empty when nobody has seen it yet."""
    if entry.origin == "folder":
        return "" if entry.arranged else entry.sha256
    records = read_json(paths.hashes()) if paths.hashes().is_file() else {}
    return str(records.get(source, {}).get("sha256", ""))


def fault(source: str, entry: Card, folder: Path) -> str:
    """How a fetched folder differs from the known checksums, in words; empty when it does not, or none is known."""
    if entry.origin == "files":
        wrong = [n for n, digest in entry.files.items() if not (folder / n).is_file() or sha256(folder / n) != digest]
        return f"{wrong[0]} is not the file of the manifest" if wrong else ""
    expected = expected_digest(source, entry)
    if not expected or (found := tree_digest(folder)) == expected:
        return ""
    where = "manifest.json says" if entry.origin == "folder" else "hashes.json has recorded"
    return f"the images have sha256 {found[:12]}..., data/{where} {expected[:12]}..."


def remember(source: str, entry: Card, folder: Path, whence: str) -> None:
    """Compare a new folder with the known checksum, or record it where there is none.

    Raises:
        QdrError: when it differs.
    """
    if differs := fault(source, entry, folder):
        recorded = "or, if the publisher has changed it, remove that entry and run it again"
        remedy = recorded if entry.origin == "archive" else "or name the source otherwise in the manifest"
        raise QdrError(f"source {source!r}: {differs}: look for another copy at {entry.homepage}, {remedy}")
    if entry.origin == "archive" and not expected_digest(source, entry):
        records = read_json(paths.hashes()) if paths.hashes().is_file() else {}
        records[source] = {"sha256": (digest := tree_digest(folder)), "from": whence, "count": entry.count}
        write_json(paths.hashes(), records)
        print(f"{source}: first seen; sha256 {digest[:12]}... recorded in data/hashes.json, commit it")
