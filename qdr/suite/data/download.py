"""Download a file from the first address that gives it, and go on where a transfer stopped.

The bytes go to data/downloads/<file>.<address>.part, where <address> is a checksum of the address, so that two mirrors
never share a part. What is there already is not asked for again: `Range: bytes=<have>-` (RFC 9110, section 14.2), with
`If-Range` and the first answer's ETag or date (section 13.1.5), so that a server whose file has changed sends it whole.
A cut connection is tried again a few times, then the next address is asked; a part stays on disk for the next run. Only
a complete file with the right checksum gets its name. `pooch`, which does all but the resuming, would do for small files.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from qdr.errors import QdrError
from qdr.suite.data.records import sha256
from qdr.suite.data.space import ensure_space, full_disk

ATTEMPTS = 3  # per address, each going on where the one before was cut
PAUSE = 2.0  # seconds between them
CHUNK = 2**16  # bytes; what is lost, at most, when the connection is cut
_TAG = 1000  # bytes of a version
TIMEOUT = (10, 60)  # seconds: to connect, between two chunks


class _Cut(Exception):
    """The connection ended before the file did: worth another attempt."""


class _Refused(Exception):
    """The address does not give the file: ask the next."""


def download(urls: Sequence[str], target: Path, digest: str = "") -> str:
    """Make the file `target` from the first of `urls` that gives it (with this sha256, if one is known); return the address.

    Raises:
        QdrError: when the disk is full, or when no address gives the file; every failure is named.
    """
    with full_disk(f"writing {target}", "free space and run it again, which goes on where it stopped"):
        target.parent.mkdir(parents=True, exist_ok=True)
        return _first(urls, target, digest)


def _first(urls: Sequence[str], target: Path, digest: str) -> str:
    failures = []
    for url in urls:
        part = target.with_name(f"{target.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")
        try:
            _persist(url, part)
            if digest and (found := sha256(part)) != digest:
                part.unlink()
                _tag(part).unlink(missing_ok=True)
                raise _Refused(f"its file has sha256 {found[:12]}..., the manifest says {digest[:12]}...")
        except (_Cut, _Refused) as error:
            failures.append(f"{url}: {error}")
            continue
        part.replace(target)
        for rest in target.parent.glob(f"{target.name}.*"):  # tags, and parts from other addresses
            rest.unlink()
        return url
    again = "run it again, which goes on where it stopped" if any(target.parent.glob("*.part")) else "try again later"
    raise QdrError(f"cannot download {target.name} ({'; '.join(failures)}): {again}, or put the file at {target}")


def _persist(url: str, part: Path) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _transfer(url, part)
        except _Cut:
            if attempt == ATTEMPTS:
                raise
            time.sleep(PAUSE)


def _transfer(url: str, part: Path) -> None:
    """Ask for what is missing of the file, and append it to the part."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if _tag(part).is_file() and (held := _tag(part).read_bytes()[:_TAG]):
            headers["If-Range"] = held.decode("latin-1")
    try:
        answer = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise _Refused(f"no answer ({type(error).__name__})") from error
    with answer:
        if answer.status_code == 416:  # nothing follows: the part is complete, or of another file
            if answer.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink()
            raise _Cut(f"{have} bytes were there, which is more than the file has")
        _refuse(answer, have)
        have = have if answer.status_code == 206 else 0
        length = int(stated) if (stated := answer.headers.get("Content-Length", "0")).isdecimal() else 0
        ensure_space(part.parent, length, url)
        tag = answer.headers.get("ETag", "")
        version = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
        _tag(part).write_text(version, encoding="latin-1", errors="ignore")
        _receive(answer, part, have, have + length)
    if (found := part.stat().st_size) < have + length:
        raise _Cut(f"the connection was cut after {found} of {have + length} bytes")


def _refuse(answer: requests.Response, have: int) -> None:
    if answer.status_code not in (200, 206):
        raise _Refused(f"HTTP {answer.status_code} {answer.reason}")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise _Refused("a web page instead of the file")
    if answer.status_code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        raise _Refused("another part of the file than was asked for")


def _receive(answer: requests.Response, part: Path, have: int, total: int) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
    with bar, part.open("ab" if have else "wb") as file:
        task = bar.add_task(part.name.rsplit(".", 2)[0], total=total or None, completed=have)
        try:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                bar.advance(task, len(chunk))
        except requests.RequestException as error:
            raise _Cut(f"the connection was cut after {file.tell()} of {total} bytes") from error


def _tag(part: Path) -> Path:
    """Beside a part: which version of the file it is a part of, as the server named it."""
    return part.with_suffix(".tag")
