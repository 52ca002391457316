"""Tidy rows on disk: CSV with a header, written whole or not at all."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from qdr.errors import QdrError
from qdr.paths import replacing


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows, at least one, with the keys of the first as columns."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read rows; every value is text."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise QdrError(f"{path} does not exist: run `dvc repro`") from error
