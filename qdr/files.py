"""A text file as it lies on the disk, and nothing that only looks like one: the door behind JSON, YAML, CSV and pages.

Refused with one line: what is missing, a folder, a pipe or a device, more bytes than such a file ever has (nothing larger
is read into memory), and bytes that are not UTF-8.
"""

from __future__ import annotations

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
