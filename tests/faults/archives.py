"""Archives that break out, blow up, or are none."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

from qdr.suite.data.tasks import load_cards
from tests.faults.fault import MIB, Fault, Inject

FETCH = ("fetch", "rain100l")
LOST = "nothing; no file is unpacked, inside the folder or outside"


def held(place: Path) -> Path:
    """Where an archive is placed by hand."""
    path = place / "data/downloads" / load_cards()["rain100l"].archive
    path.parent.mkdir()
    return path


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> Inject:
    def inject(place: Path) -> None:
        with zipfile.ZipFile(held(place), "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)

    return inject


def linked(kind: bytes, target: str) -> Inject:
    def inject(place: Path) -> None:
        with tarfile.open(held(place), "w") as archive:
            member = tarfile.TarInfo("Rain100L/rainy/rain-1.png")
            member.type, member.linkname = kind, target
            archive.addfile(member)

    return inject


def header_bomb(place: Path) -> None:
    """256 MiB of header in a quarter of a megabyte."""
    member = tarfile.TarInfo("long")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 256 * MIB
    with gzip.open(held(place), "wb", 1) as file:
        file.write(member.tobuf())
        for _ in range(256):
            file.write(bytes(MIB))


def half(place: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=0) as archive:
        member = tarfile.TarInfo("Rain100L/rainy/rain-1.png")
        member.size = MIB
        archive.addfile(member, io.BytesIO(bytes(MIB)))
    held(place).write_bytes(content.getvalue()[: MIB // 2])


def link_in_zip() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("link")
    member.external_attr = 0o120777 << 16
    return member


FAULTS = [
    Fault(
        "archive-escape",
        "a zip with the member `../../out.txt`",
        zipped(("../../out.txt", b"x")),
        FETCH,
        "holds an unsafe member '../../out.txt'",
        LOST,
    ),
    Fault(
        "archive-absolute",
        "a zip with the member `/tmp/out.txt`",
        zipped(("/tmp/out.txt", b"x")),
        FETCH,
        "holds an unsafe member '/tmp/out.txt'",
        LOST,
    ),
    Fault(
        "archive-symlink",
        "a tar with a symbolic link to /etc/passwd",
        linked(tarfile.SYMTYPE, "/etc/passwd"),
        FETCH,
        "holds an unsafe member",
        LOST,
    ),
    Fault(
        "archive-hard-link",
        "a tar with a hard link to /etc/passwd",
        linked(tarfile.LNKTYPE, "/etc/passwd"),
        FETCH,
        "holds an unsafe member",
        LOST,
    ),
    Fault("archive-device", "a tar with a device", linked(tarfile.CHRTYPE, ""), FETCH, "holds an unsafe member", LOST),
    Fault(
        "archive-zip-symlink",
        "a zip with a symbolic link",
        zipped((link_in_zip(), b"/etc/passwd")),
        FETCH,
        "holds an unsafe member 'link'",
        LOST,
    ),
    Fault(
        "archive-bomb",
        "a zip of 32 kB that holds 32 MiB",
        zipped(("zeros", bytes(32 * MIB))),
        FETCH,
        "would unpack to 32 MiB or more, 1 members: it was not unpacked",
        LOST,
    ),
    Fault(
        "archive-header-bomb",
        "a tar.gz whose header takes 256 MiB of memory",
        header_bomb,
        FETCH,
        "cannot be unpacked (a header of 256 MiB)",
        LOST,
    ),
    Fault(
        "archive-twice",
        "a zip with two members of one name",
        zipped(("a.png", b"x"), ("./a.png", b"y")),
        FETCH,
        "holds two members named './a.png'",
        LOST,
    ),
    Fault(
        "archive-no-name",
        "a zip whose member has a name of 300 characters",
        zipped(("a" * 300, b"x")),
        FETCH,
        "cannot be unpacked",
        "nothing; what was unpacked so far is deleted",
    ),
    Fault(
        "archive-cut",
        "a tar.gz cut in the middle",
        half,
        FETCH,
        "cannot be unpacked",
        "nothing; what was unpacked so far is deleted",
    ),
    Fault(
        "archive-page",
        "a web page with the name of the archive",
        lambda place: held(place).write_bytes(b"<html>Sign in</html>"),
        FETCH,
        "is no zip or tar archive",
        LOST,
    ),
    Fault(
        "archive-other",
        "a zip without the images of the card",
        zipped(("readme.txt", b"x")),
        FETCH,
        "is where the manifest expects images",
        "nothing; what was unpacked is deleted",
    ),
]
